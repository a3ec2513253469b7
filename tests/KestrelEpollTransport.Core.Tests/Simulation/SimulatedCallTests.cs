namespace KestrelEpollTransport.Tests.Simulation;

/// <summary>How often a loop that has too much to do calls another thread.</summary>
public class SimulatedCallTests
{
    private const long Ms = 1_000_000;
    private const int LoadMs = 1_000;

    [Theory]
    [InlineData(1, 0, 40)]
    [InlineData(2, 100, int.MaxValue)]
    public void Calls_OfALoopThatIsLate_AreFewWhereNoProcessorIsFree(int processors, int least, int most)
    {
        using SimMachine machine = new(seed: 1, processors) { WakeLatencyNs = 1_000 };
        using SimServer server = Create(machine, drivers: 2);
        Load(machine, server, serviceNs: 20_000);

        machine.Run(LoadMs * Ms);

        Assert.InRange(server.Drives, least, most);
        End(machine, server);
    }

    /// <summary>One dispatch is stuck for a moment, and then there is as much to do as before.</summary>
    [Fact]
    public void ThreadThatWasCalledBesideOneThatWasStuck_LeavesTheOnlyProcessorToIt()
    {
        using SimMachine machine = new(seed: 1, processors: 1) { WakeLatencyNs = 1_000 };
        using SimServer server = Create(machine, drivers: 1);
        Load(machine, server, serviceNs: 20_000);
        machine.Run(50 * Ms);
        Assert.Equal(1, server.Loops[0].Crew.Count);
        server.Connections[0].Arrive(new SimRequest(machine.Now, ServiceNs: 15 * Ms, Sleeps: false));
        while (server.Loops[0].Crew.Count == 1)
        {
            Assert.True(machine.Now < 100 * Ms, "Nobody was called.");
            machine.Run(machine.Now + Ms);
        }

        machine.Run(150 * Ms);
        for (int i = 0; i < 50; i++)
        {
            machine.Run(machine.Now + Ms);
            Assert.Equal(1, server.Loops[0].Crew.Count);
        }

        End(machine, server);
    }

    private static SimServer Create(SimMachine machine, int drivers) =>
        new(machine, new SimSettings { Drivers = drivers, Connections = 64, PollNs = 1_000, EventNs = 50, DispatchNs = 300 });

    // In bursts: a little more than one processor can do.
    private static void Load(SimMachine machine, SimServer server, long serviceNs)
    {
        machine.At(0, Arrive);

        void Arrive()
        {
            foreach (SimConnection connection in server.Connections)
            {
                connection.Arrive(new SimRequest(machine.Now, serviceNs, Sleeps: false));
            }

            if (machine.Now < LoadMs * Ms)
            {
                machine.At(machine.Now + (server.Connections.Length * serviceNs * 9 / 10), Arrive);
            }
        }
    }

    private static void End(SimMachine machine, SimServer server)
    {
        machine.Start(server.Stop);
        machine.Run(machine.Now + (20 * Ms));
        machine.Start(server.End);
        machine.Run(machine.Now + (10_000 * Ms));
        Assert.Equal(0, machine.Threads);
    }
}
