using Xunit.Abstractions;

namespace KestrelEpollTransport.Tests.Simulation;

/// <summary>The scheduling on simulated machines, by seed.</summary>
[Collection(RunsAlone.Name)]
public class SimulatedSchedulingTests(ITestOutputHelper output)
{
    private const long Ms = 1_000_000;
    private const int Requests = 30_000;

    [Theory]
    [InlineData(1, 4_000)]
    public void RandomMachines_ServeAllThatBecomesReady_AndEnd(int first, int count)
    {
        long began = TimeProvider.System.GetTimestamp();
        long served = 0;
        for (int seed = first; seed < first + count; seed++)
        {
            served += RandomMachine.Run(seed);
        }

        output.WriteLine($"{count} schedules, {served} requests, {count / TimeProvider.System.GetElapsedTime(began).TotalSeconds:0} schedules/s");
    }

    /// <summary>
    /// How much of what an ideal machine serves, with one queue and no overhead, is served with the 99th percentile below ten times the mean
    /// service, which is exponentially distributed.
    /// </summary>
    /// <remarks>A poll takes 1 µs and 50 ns an event, a dispatch 300 ns, and who is woken comes 5 µs later.</remarks>
    [Theory]
    [InlineData(2, 10)]
    [InlineData(8, 10)]
    [InlineData(64, 10)]
    [InlineData(2, 25)]
    [InlineData(8, 25)]
    [InlineData(64, 25)]
    public void Load_ThatIsServedWithAShortTail_ComesCloseToAnIdealQueue(int processors, int meanUs)
    {
        long limit = meanUs * 1_000 * 10;
        double ideal = FindLoad(load => IdealTail(processors, meanUs * 1_000, load) <= limit);
        double ours = FindLoad(load => Tail(processors, meanUs * 1_000, load) <= limit);

        output.WriteLine($"{processors} processors, {meanUs} µs: ideal {ideal:0.00}, ours {ours:0.00}: {ours / ideal:0.00}");
        Assert.InRange(ours / ideal, meanUs == 10 ? 0.75 : 0.88, 1.1);
    }

    private static double FindLoad(Func<double, bool> isServed)
    {
        (double served, double refused) = (0, 1);
        for (int i = 0; i < 7; i++)
        {
            double load = (served + refused) / 2;
            (served, refused) = isServed(load) ? (load, refused) : (served, load);
        }

        return served;
    }

    private static long IdealTail(int processors, double meanNs, double load)
    {
        using SimMachine lots = new(7, 1);
        PriorityQueue<int, double> free = new(Enumerable.Range(0, processors).Select(static i => (i, 0.0)));
        List<long> took = [];
        double now = 0;
        for (int i = 0; i < Requests; i++)
        {
            now += lots.NextExponential(meanNs / load / processors);
            free.TryDequeue(out int processor, out double freeAt);
            double done = Math.Max(now, freeAt) + lots.NextExponential(meanNs);
            free.Enqueue(processor, done);
            took.Add((long)(done - now));
        }

        return Percentile(took);
    }

    private static long Tail(int processors, double meanNs, double load)
    {
        int loops = Math.Max(1, processors / 8);
        using SimMachine machine = new(7, processors) { WakeLatencyNs = 5_000 };
        using SimServer server = new(machine, new SimSettings
        {
            Loops = loops,
            Drivers = processors / loops,
            Connections = 1_000,
            PollNs = 1_000,
            EventNs = 50,
            DispatchNs = 300,
        });
        int arrived = 0;
        machine.At(100_000, Arrive);
        while (server.Served.Count < Requests && machine.Now < 60_000 * Ms)
        {
            machine.Run(machine.Now + Ms);
        }

        machine.Start(server.Stop);
        machine.Run(machine.Now + (20 * Ms));
        machine.Start(server.End);
        machine.Run(machine.Now + (10_000 * Ms));
        return Percentile([.. server.Served.Select(static served => served.Took)]);

        void Arrive()
        {
            server.Connections[machine.Next(1_000)].Arrive(new SimRequest(machine.Now, machine.NextExponential(meanNs), Sleeps: false));
            if (++arrived < Requests)
            {
                machine.At(machine.Now + machine.NextExponential(meanNs / load / processors), Arrive);
            }
        }
    }

    private static long Percentile(List<long> values)
    {
        values.Sort();
        return values[values.Count * 99 / 100];
    }
}
