using KestrelEpollTransport.LoadShedding;

namespace KestrelEpollTransport.FunctionalTests.LoadShedding;

/// <summary>
/// A server in simulated time: requests of a Poisson process, threads that serve them in turn, and a control that is asked before each. Either
/// what is ready is told pass by pass, as on a loop, or request by request, as from the queue for workers.
/// </summary>
/// <param name="threads">How many serve.</param>
/// <param name="serviceMs">What a request takes; given a number from 0 to 1.</param>
/// <param name="refusalMs">What a refusal takes.</param>
/// <param name="isLoop">Whether the delay counts from the poll before.</param>
internal sealed class SimulatedLoad(int threads, Func<Random, double> serviceMs, double refusalMs, bool isLoop)
{
    private readonly Random _random = new(Seed: 7);
    private readonly Queue<double> _arrived = new();
    private readonly Queue<(double At, double Since)> _pass = new();
    private readonly PriorityQueue<int, double> _busy = new();
    private readonly Stack<int> _idle = new(Enumerable.Range(0, threads));
    private readonly int[] _refusedInARow = new int[threads];
    private readonly List<(double At, double Latency)> _served = [];
    private double _polledAt;
    private long _passes;

    /// <summary>Null: everything is served.</summary>
    public OverloadControl? Control { get; init; }

    public double RefusingMs { get; private set; }

    public int Refused { get; private set; }

    /// <summary>Serves what comes at a rate, in requests a millisecond, for so long.</summary>
    public void Run(double perMs, double fromMs, double untilMs)
    {
        double next = fromMs + Gap(perMs);
        while (true)
        {
            double freed = _busy.TryPeek(out _, out double at) ? at : double.PositiveInfinity;
            double now = Math.Min(next, freed);
            if (now >= untilMs)
            {
                return;
            }

            if (next <= freed)
            {
                _arrived.Enqueue(next);
                next += Gap(perMs);
            }
            else
            {
                _idle.Push(_busy.Dequeue());
            }

            while (_idle.Count > 0 && TryTake(now, out double arrivedAt, out double since))
            {
                Begin(now, arrivedAt, since);
            }
        }
    }

    /// <summary>How many were served in a time, a millisecond.</summary>
    public double Rate(double fromMs, double untilMs) => Latencies(fromMs, untilMs).Length / (untilMs - fromMs);

    /// <summary>The 99th percentile of those that were served in a time.</summary>
    public double P99(double fromMs, double untilMs) => Latencies(fromMs, untilMs) is { Length: > 0 } latencies ? latencies[latencies.Length * 99 / 100] : 0;

    private double[] Latencies(double fromMs, double untilMs) =>
        [.. _served.Where(one => one.At >= fromMs && one.At < untilMs).Select(static one => one.Latency).Order()];

    private double Gap(double perMs) => -Math.Log(1 - _random.NextDouble()) / perMs;

    private bool TryTake(double now, out double arrivedAt, out double since)
    {
        if (_pass.Count == 0 && _arrived.Count > 0)
        {
            // A loop that slept is woken by the first.
            double before = isLoop && !(_busy.Count == 0 && _arrived.Count == 1) ? _polledAt : now;
            _polledAt = now;
            _passes++;
            for (int left = isLoop ? 256 : 1; left > 0 && _arrived.TryDequeue(out double arrived); left--)
            {
                _pass.Enqueue((arrived, isLoop ? before : arrived));
            }
        }

        bool taken = _pass.TryDequeue(out (double At, double Since) one);
        (arrivedAt, since) = one;
        return taken;
    }

    private void Begin(double now, double arrivedAt, double since)
    {
        int thread = _idle.Pop();
        bool isRefused = Control?.Refuses(Ticks(now), Ticks(now - since), isLoop ? _passes : null, ref _refusedInARow[thread], out _) == true;
        double takes = isRefused ? refusalMs : serviceMs(_random);
        _busy.Enqueue(thread, now + takes);
        if (isRefused)
        {
            RefusingMs += takes;
            Refused++;
        }
        else
        {
            _served.Add((now, now + takes - arrivedAt));
        }
    }

    private static long Ticks(double milliseconds) => TimeSpan.FromMilliseconds(milliseconds).Ticks;
}
