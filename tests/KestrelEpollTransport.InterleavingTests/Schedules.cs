namespace KestrelEpollTransport.Tests.Simulation;

/// <summary>
/// So many that each fault that was tried shows in some of them, as these: the right to poll given up before the pass is published or before
/// Stop, a seat given up behind the leave, an unanswered call, a missed look at the queue. To replay a seed, begin with it.
/// </summary>
internal static class Schedules
{
    private const int Count = 4_000;

    /// <exception cref="SimulationException">A schedule failed: its seed, and why.</exception>
    public static void Run(Action<int> run, int first = 1)
    {
        for (int seed = first; seed < first + Count; seed++)
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
