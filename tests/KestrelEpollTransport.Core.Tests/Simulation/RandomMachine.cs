namespace KestrelEpollTransport.Tests.Simulation;

/// <summary>A server, its machine and what it has to do, all drawn by lot.</summary>
internal static class RandomMachine
{
    private const long Ms = 1_000_000;

    /// <summary>Nothing waits longer beside a processor that is free: where all workers are stuck, 33 late looks of the watch.</summary>
    private const long ResponsibleWithin = 600 * Ms;

    /// <summary>What nothing prevents: some looks of the watch.</summary>
    private const long WithinLooks = 30 * Ms;

    /// <summary>Returns how many requests were served.</summary>
    /// <param name="seed">Of the lots.</param>
    /// <param name="steps">How likely it is that others go on first before an operation on what threads share, where those are steps.</param>
    /// <exception cref="SimulationException">Something was served twice, or not in time, or did not end.</exception>
    public static int Run(int seed, double steps = 0)
    {
        try
        {
            return RunSchedule(seed, steps);
        }
        catch (SimulationException exception)
        {
            throw new SimulationException($"Seed {seed}: {exception.Message}", exception);
        }
    }

    private static int RunSchedule(int seed, double steps)
    {
        Random random = new(seed);
        using SimMachine machine = new(seed, processors: random.Next(1, 5))
        {
            Preemption = random.Next(4) * 0.02,
            Interleaving = 0.5,
            Steps = steps,
            WakeLatencyNs = random.Next(0, 20_000),
        };
        using SimServer server = new(machine, new SimSettings
        {
            Loops = random.Next(1, 3),
            Drivers = random.Next(1, 4),
            Connections = random.Next(1, 13),
            MaxWorkers = random.Next(1, 9),
            MaxLong = random.Next(1, 3),
            CallAfter = TimeSpan.FromMicroseconds(random.Next(0, 3) * 50),
            Refusal = random.Next(3) == 0 ? 0.3 : 0,
            WatchLatenessNs = random.Next(2) == 0 ? 0 : 5 * Ms,
        });

        int requests = random.Next(5, 60);
        long at = 0;
        List<(SimConnection Connection, SimRequest Request)> arrivals = [];
        for (int i = 0; i < requests; i++)
        {
            at += random.Next(20) == 0 ? 10 * Ms : random.Next(3) == 0 ? 0 : random.Next(0, 400_000);
            (long service, bool sleeps) = random.Next(40) switch
            {
                39 => (300 * Ms, false),
                >= 36 => (random.Next(1, 8) * Ms, false),
                >= 28 => (random.Next(200_000, 20_000_000), true),
                27 => (2_000 * Ms, true),
                _ => (random.Next(1_000, 60_000), false),
            };
            arrivals.Add((server.Connections[random.Next(server.Connections.Length)], new SimRequest(at, service, sleeps)));
        }

        bool areLinked = random.Next(2) == 0;
        for (int i = requests - 1; i >= 0; i--)
        {
            // Some of the first half of the connections wait for what comes later, on the other half: in no circle.
            (SimConnection connection, SimRequest request) = arrivals[i];
            if (areLinked && random.Next(4) == 0 && IsInFirstHalf(connection)
                && arrivals[i..].FirstOrDefault(arrival => !IsInFirstHalf(arrival.Connection)).Request is { } later)
            {
                request = request with { WaitsFor = later };
            }

            machine.At(request.ArrivedNs, () => connection.Arrive(request));
        }

        bool IsInFirstHalf(SimConnection connection) => Array.IndexOf(server.Connections, connection) < server.Connections.Length / 2;

        bool stopsEarly = random.Next(5) == 0;
        long stopsAt = stopsEarly ? random.NextInt64(at + 1) : long.MaxValue;
        bool stopped = false;
        for (long now = Ms; server.Served.Count < requests && !stopped; now += Ms)
        {
            machine.Run(now);
            Responsible(machine, server);
            if (now >= stopsAt)
            {
                stopped = true;
                machine.Start(server.Stop);
            }

            Assert.True(now < 30_000 * Ms, $"Seed {seed}: {requests - server.Served.Count} requests are not served");
        }

        if (!stopped)
        {
            machine.Start(server.Stop);
        }

        for (int i = 0; i < 1_000 && !server.HasEnded; i++)
        {
            machine.Run(machine.Now + (10 * Ms));
        }

        Assert.True(server.HasEnded, $"Seed {seed}: a loop did not end");
        machine.Start(server.End);
        for (int i = 0; i < 1_000 && machine.Threads > 0; i++)
        {
            machine.Run(machine.Now + (100 * Ms));
        }

        Assert.True(machine.Threads == 0, $"Seed {seed}: {machine.Threads} threads did not end: {server}");
        return server.Served.Count;
    }

    // Somebody is responsible for what is ready, if there is a processor.
    private static void Responsible(SimMachine machine, SimServer server)
    {
        // What may run at once where nothing is exhausted, or refused, or looked at late.
        bool isIdle = machine.IdleSince < machine.Now - WithinLooks && server is { Workers.IsExhausted: false, Settings: { Refusal: 0, WatchLatenessNs: 0 } };
        server.QueuedSince = isIdle && server.Workers.OffLoop.HasMore ? server.QueuedSince ?? machine.Now : null;
        if (server.QueuedSince < machine.Now - WithinLooks)
        {
            throw new SimulationException($"the queue is left alone while workers rest: {server}", null);
        }

        foreach (SimConnection connection in server.Connections)
        {
            // Long work waits for its turn, on one of several processors. Where it, or all workers, wait for what is still to come, the pool
            // takes one piece after the other.
            bool waitsForOthers = server.Workers is { IsExhausted: true } or { OffLoop.IsEmpty: false };
            long within = waitsForOthers ? 20 * ResponsibleWithin : ResponsibleWithin;
            if (connection.ReadySince is { } since && machine.Now - Math.Max(since, Math.Min(machine.IdleSince, machine.Now)) > within)
            {
                throw new SimulationException($"nobody has begun what has been ready for {(machine.Now - since) / Ms} ms, and a processor is free: {server}", null);
            }
        }
    }
}
