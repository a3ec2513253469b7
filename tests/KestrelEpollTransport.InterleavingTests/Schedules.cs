namespace KestrelEpollTransport.Tests.Simulation;

/// <summary>So many that each fault that was tried shows in some of them.</summary>
internal static class Schedules
{
    private const int Count = 4_000;

    /// <exception cref="SimulationException">A schedule failed: its seed, and why.</exception>
    public static void Run(Action<int> run)
    {
        for (int seed = 1; seed <= Count; seed++)
        {
            try
            {
                run(seed);
            }
            catch (Exception exception)
            {
                throw new SimulationException($"Seed {seed}: {exception.Message}", exception);
            }
        }
    }
}
