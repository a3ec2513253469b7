using System.Diagnostics;

namespace TransportBench.Client;

/// <summary>Time since the load began, in timestamps of <see cref="Stopwatch"/>, and which phase a moment is in.</summary>
internal sealed class PhaseClock
{
    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly long[] _ends;

    public PhaseClock(IReadOnlyList<double> phaseEnds)
    {
        _ends = [.. phaseEnds.Select(After)];
        Seconds = [.. phaseEnds.Select((end, i) => end - (i == 0 ? 0 : phaseEnds[i - 1]))];
    }

    /// <summary>How long each phase is.</summary>
    public IReadOnlyList<double> Seconds { get; }

    public int PhaseCount => _ends.Length;

    public long End => _ends[^1];

    /// <summary>The moment so many seconds after the beginning.</summary>
    public long After(double seconds) => _start + (long)(seconds * Stopwatch.Frequency);

    public long EndOf(int phase) => _ends[phase];

    /// <summary>The phase of a moment. What comes after the end belongs to the last one.</summary>
    public int PhaseOf(long moment)
    {
        int phase = 0;
        while (phase < _ends.Length - 1 && moment >= _ends[phase])
        {
            phase++;
        }

        return phase;
    }
}
