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
        phase.Times.Record(since, now);
    }

    /// <summary>A request was refused.</summary>
    public void OnRefused(long since, long now)
    {
        Phase phase = _phases[_clock.PhaseOf(now)];
        phase.Refused ??= new Times();
        phase.Refused.Record(since, now);
    }

    /// <summary>The server says how long a request waited there that is answered now.</summary>
    public void OnQueueing(long since, long now, long waited)
    {
        Phase phase = _phases[_clock.PhaseOf(now)];
        (phase.Queueing ??= new Times()).Record(0, waited);
        (phase.Rest ??= new Times()).Record(since, Math.Max(since, now - waited));
    }

    /// <summary>
    /// A request still waits when a phase ends. Without it, a server that answers nobody would have no latency at all.
    /// </summary>
    public void OnStillWaiting(long since, int phase)
    {
        long end = _clock.EndOf(phase);
        if (since < end)
        {
            _phases[phase].Waiting++;
            _phases[phase].Times.Record(since, end);
        }
    }

    /// <summary>A request of an open loop should leave now.</summary>
    public void OnDue(long due) => SendingOf(_clock.PhaseOf(due)).Due++;

    /// <summary>A request of an open loop has left, and could have when it was due.</summary>
    public void OnSent(long due, long now) => SendingOf(_clock.PhaseOf(now)).Lag.Record(due, now);

    /// <summary>So many requests of an open loop have not left when a phase ends, and could have.</summary>
    public void OnUnsent(int count, int phase) => SendingOf(phase).Unsent += count;

    public void OnError(string message, long now)
    {
        _firstError ??= message;
        _phases[_clock.PhaseOf(now)].Errors++;
    }

    public GroupReport ToReport(string name) => new(
        name, [.. _phases.Select((phase, i) => phase.ToReport(_clock.Seconds[i]))], _firstError);

    private Sending SendingOf(int phase) => _phases[phase].Sending ??= new Sending();

    private sealed class Phase
    {
        public Times Times { get; } = new();

        public Sending? Sending { get; set; }

        public Times? Refused { get; set; }

        public Times? Queueing { get; set; }

        public Times? Rest { get; set; }

        public long Requests { get; set; }

        public long Errors { get; set; }

        public long Waiting { get; set; }

        public PhaseReport ToReport(double seconds) => new(
            seconds, Requests, Errors, Waiting,
            Times.Percentile(50), Times.Percentile(90), Times.Percentile(99), Times.Percentile(99.9), Times.Percentile(100))
        {
            Sending = Sending?.ToReport(),
            Refused = Refused?.Count ?? 0,
            RefusedP99 = Refused?.Percentile(99) ?? 0,
            Queueing = Queueing is null ? null : new QueueingReport(Queueing.Percentile(50), Queueing.Percentile(99), Rest!.Percentile(50), Rest.Percentile(99)),
        };
    }

    private sealed class Sending
    {
        public Times Lag { get; } = new();

        public long Due { get; set; }

        public long Unsent { get; set; }

        public SendingReport ToReport() => new(Due, Unsent, Lag.Percentile(99), Lag.Percentile(100));
    }

    /// <summary>
    /// Durations in an HdrHistogram (hdrhistogram.org): a microsecond apart up to 2 ms, and from there on to three digits.
    /// </summary>
    private sealed class Times
    {
        private readonly LongHistogram _histogram = new(LongestMicroseconds, SignificantDigits);

        public long Count => _histogram.TotalCount;

        public void Record(long since, long until) =>
            _histogram.RecordValue(Math.Clamp((long)Stopwatch.GetElapsedTime(since, until).TotalMicroseconds, 1, LongestMicroseconds));

        /// <summary>In milliseconds; 0 if there are none.</summary>
        public double Percentile(double percentile) =>
            _histogram.TotalCount == 0 ? 0 : _histogram.GetValueAtPercentile(percentile) / 1000.0;
    }
}
