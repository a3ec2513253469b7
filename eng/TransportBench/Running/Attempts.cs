using TransportBench.Measuring;

namespace TransportBench.Running;

/// <summary>Takes a turn again where it can't be counted.</summary>
internal static class Attempts
{
    /// <summary>How often a turn is taken at most.</summary>
    public const int Most = 3;

    /// <summary>The first turn in which the client was not the limit; null if there was none.</summary>
    /// <param name="turn">Takes one.</param>
    /// <param name="discarded">Is given why the others were not counted.</param>
    public static Sample? Take(Func<Sample> turn, ICollection<string> discarded)
    {
        for (int i = 0; i < Most; i++)
        {
            Sample sample = turn();
            if (sample.ClientLimit is null)
            {
                return sample;
            }

            discarded.Add(sample.ClientLimit);
        }

        return null;
    }
}
