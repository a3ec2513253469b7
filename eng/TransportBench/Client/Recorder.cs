using System.Diagnostics;
using HdrHistogram;

namespace TransportBench.Client;

/// <summary>Collects the figures of one group. For one thread at a time.</summary>
internal sealed class Recorder
{
    private const long LongestMicroseconds = 600_000_000;
    private const int SignificantDigits = 3;

    private readonly PhaseClock _clock;
    private readonly Phase[] _phases;
    private string? _firstError;

    public Recorder(PhaseClock clock)
    {
        _clock = clock;
        _phases = [.. Enumerable.Range(0, clock.PhaseCount).Select(static _ => new Phase())];
    }

    public void OnAnswer(long since, long now)
    {
        Phase phase = _phases[_clock.PhaseOf(now)];
        phase.Requests++;
        phase.Record(since, now);
    }

    /// <summary>
    /// A request still waits when a phase ends. Without it, a server that answers nobody would have no latency at all.
    /// </summary>
    public void OnStillWaiting(long since, int phase)
    {
        _phases[phase].Waiting++;
        _phases[phase].Record(since, _clock.EndOf(phase));
    }

    public void OnError(string message, long now)
    {
        _firstError ??= message;
        _phases[_clock.PhaseOf(now)].Errors++;
    }

    public GroupReport ToReport(string name) => new(
        name, [.. _phases.Select((phase, i) => phase.ToReport(_clock.Seconds[i]))], _firstError);

    private sealed class Phase
    {
        private readonly LongHistogram _times = new(LongestMicroseconds, SignificantDigits);

        public long Requests { get; set; }

        public long Errors { get; set; }

        public long Waiting { get; set; }

        public void Record(long since, long until) =>
            _times.RecordValue(Math.Clamp((long)Stopwatch.GetElapsedTime(since, until).TotalMicroseconds, 1, LongestMicroseconds));

        public PhaseReport ToReport(double seconds) => new(
            seconds, Requests, Errors, Waiting, Percentile(50), Percentile(90), Percentile(99), Percentile(99.9), Percentile(100));

        private double Percentile(double percentile) =>
            _times.TotalCount == 0 ? 0 : _times.GetValueAtPercentile(percentile) / 1000.0;
    }
}
