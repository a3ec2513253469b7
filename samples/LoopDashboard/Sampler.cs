using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace LoopDashboard;

/// <summary>Takes a sample twice a second, keeps those of the last minute, and gives them to whoever reads. Thread-safe.</summary>
internal sealed class Sampler : BackgroundService
{
    private const int Kept = 120;

    private static readonly TimeSpan s_interval = TimeSpan.FromMilliseconds(500);

    private readonly Meters _meters = new();
    private readonly Lock _lock = new();

    // Under the lock.
    private readonly Queue<Sample> _last = new(Kept);
    private readonly List<Channel<Sample>> _readers = [];
    private bool _ended;

    public Sampler(IHostApplicationLifetime lifetime)
    {
        // The requests of the pages would keep the server from ending.
        lifetime.ApplicationStopping.Register(End);
    }

    /// <summary>The samples that are kept, and then each as it is taken.</summary>
    public async IAsyncEnumerable<Sample> ReadAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        // A page that is too slow misses some.
        var channel = Channel.CreateBounded<Sample>(new BoundedChannelOptions(Kept) { FullMode = BoundedChannelFullMode.DropOldest });
        lock (_lock)
        {
            foreach (Sample sample in _last)
            {
                channel.Writer.TryWrite(sample);
            }

            _readers.Add(channel);
            if (_ended)
            {
                channel.Writer.TryComplete();
            }
        }

        try
        {
            await foreach (Sample sample in channel.Reader.ReadAllAsync(cancellationToken))
            {
                yield return sample;
            }
        }
        finally
        {
            lock (_lock)
            {
                _readers.Remove(channel);
            }
        }
    }

    public override void Dispose()
    {
        _meters.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        long began = Stopwatch.GetTimestamp();
        long before = began;
        using var timer = new PeriodicTimer(s_interval);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            long now = Stopwatch.GetTimestamp();
            Publish(_meters.Take(Stopwatch.GetElapsedTime(began, now).TotalSeconds, Stopwatch.GetElapsedTime(before, now).TotalSeconds));
            before = now;
        }
    }

    private void End()
    {
        lock (_lock)
        {
            _ended = true;
            _readers.ForEach(static reader => reader.Writer.TryComplete());
        }
    }

    private void Publish(Sample sample)
    {
        lock (_lock)
        {
            if (_last.Count == Kept)
            {
                _last.Dequeue();
            }

            _last.Enqueue(sample);
            _readers.ForEach(reader => reader.Writer.TryWrite(sample));
        }
    }
}
