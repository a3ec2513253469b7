namespace KestrelEpollTransport.Tests.Simulation;

/// <summary>How often a loop that falls behind calls a thread that does not help: in virtual time.</summary>
public class SimulatedCallTests
{
    private const long Ms = 1_000_000;
    private const int Bursts = 100;

    /// <summary>Until the delay is what it can be; and from then on, as it halves, two in 50 ms.</summary>
    private const int MostCalls = 8 + (Bursts * 4 / 50 * 2);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Passes_ThatFallBehindWhereNobodyCanHelp_CallSeldom(bool isCrowded)
    {
        using SimMachine machine = new(seed: 1, processors: 2);
        using SimServer server = new(machine, new SimSettings { Connections = 16, Refusal = isCrowded ? 0 : 1 });
        for (int i = 0; isCrowded && i < 2; i++)
        {
            // Others that want the processors.
            machine.Start(() => machine.Compute(Bursts * 4 * Ms));
        }

        for (int i = 1; i <= Bursts; i++)
        {
            // Twice as long as the first delays.
            Array.ForEach(server.Connections, connection => machine.At(i * 4 * Ms, () => connection.Arrive(new SimRequest(machine.Now, 50_000, Sleeps: false))));
        }

        machine.Run(Bursts * 4 * Ms);

        int calls = server.Drives - 1;
        Assert.InRange(calls, 1, MostCalls);
        machine.Start(server.Stop);
        machine.Run(machine.Now + (100 * Ms));
        machine.Start(server.End);
        machine.Run(machine.Now + (10_000 * Ms));
        Assert.Equal(0, machine.Threads);
    }
}
