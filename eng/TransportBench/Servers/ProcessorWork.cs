using System.Diagnostics;
using System.Security.Cryptography;

namespace TransportBench.Servers;

/// <summary>
/// Work that keeps a processor busy. It is counted in units and not in time: a handler that burned until a time is over
/// would do less the more others press it.
/// </summary>
internal static class ProcessorWork
{
    private static readonly byte[] s_input = new byte[16 * 1024];

    public static void Do(int units)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        for (int i = 0; i < units; i++)
        {
            SHA256.HashData(s_input, hash);
        }
    }

    /// <summary>How many units take so long on this machine while nothing else runs.</summary>
    public static int UnitsFor(TimeSpan time)
    {
        const int Units = 500;
        const int Trials = 5;
        Do(Units);

        // The fastest trial is the one that was disturbed least.
        TimeSpan best = Enumerable.Range(0, Trials).Min(static _ =>
        {
            long start = Stopwatch.GetTimestamp();
            Do(Units);
            return Stopwatch.GetElapsedTime(start);
        });
        return Math.Max(1, (int)(Units * (time / best)));
    }
}
