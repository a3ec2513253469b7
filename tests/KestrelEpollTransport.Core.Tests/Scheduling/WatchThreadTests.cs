using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Scheduling;

public sealed class WatchThreadTests : IDisposable
{
    private readonly LogRecorder _log = new();
    private readonly WatchThread _watch;
    private readonly Watched _watched = new();

    public WatchThreadTests()
    {
        _watch = new WatchThread(_log);
        _watch.Add(_watched);
    }

    public void Dispose()
    {
        _watch.Dispose();
        _log.Dispose();
    }

    [Fact]
    public async Task Watch_WithNothingToSee_ParksAndLooksAgainWhenUnparked()
    {
        _watch.Unpark();
        await Timeouts.UntilAsync(() => _watch.IsParked);
        int looks = _watched.Looks;

        // Once more, and for as long as there is something.
        for (int round = 0; round < 3; round++)
        {
            _watched.Begin();
            Interlocked.MemoryBarrier();
            _watch.Unpark();
            await Timeouts.UntilAsync(() => _watched.Looks > looks);
            Assert.False(_watch.IsParked);
            _watched.End();
            await Timeouts.UntilAsync(() => _watch.IsParked);
            looks = _watched.Looks;
        }

        Assert.Empty(_log.All());
    }

    [Fact]
    public async Task Watch_AgainstOneThatBeginsWhileItParks_IsNeverParkedOverSomething()
    {
        // The window is between the last look and the parking: thrown at it from another thread, again and again.
        _watch.Unpark();
        for (int i = 0; i < 30; i++)
        {
            await Timeouts.UntilAsync(() => _watch.IsParked);
            int looks = _watched.Looks;
            _watched.Begin();
            Interlocked.MemoryBarrier();
            _watch.Unpark();
            await Timeouts.UntilAsync(() => _watched.Looks > looks);
            _watched.End();
        }
    }

    [Fact]
    public async Task Watch_OfWhichOneThrows_GoesOnAndSaysSo()
    {
        Watched second = new();
        _watch.Add(second);
        _watched.Throws = true;
        _watch.Unpark();

        await Timeouts.UntilAsync(() => second.Looks > 2);

        Assert.Contains(_log.All(), entry => entry.Id == 3);
    }

    [Fact]
    public async Task Dispose_WhileParked_LooksOnceMoreAndEnds()
    {
        _watch.Unpark();
        await Timeouts.UntilAsync(() => _watch.IsParked);
        int looks = _watched.Looks;

        _watch.Dispose();

        await Timeouts.UntilAsync(() => _watched.Looks == looks + 1);
    }

    [Fact]
    public async Task Watch_WhoseThreadIsInterrupted_LooksOnAndParksAndIsUnparked()
    {
        _watched.OnLook = static () => Thread.CurrentThread.Interrupt();
        for (int round = 0; round < 2; round++)
        {
            int looks = _watched.Looks;
            _watched.Begin();
            Interlocked.MemoryBarrier();
            _watch.Unpark();
            await Timeouts.UntilAsync(() => _watched.Looks > looks + 10);
            _watched.End();
            await Timeouts.UntilAsync(() => _watch.IsParked);
        }

        Assert.Empty(_log.All());
    }

    private sealed class Watched : IWatched
    {
        private volatile bool _busy;
        private volatile int _looks;

        public bool Throws { get; set; }

        public Action? OnLook { get; set; }

        public bool IsQuiet => !_busy;

        public int Looks => _looks;

        public void Begin() => _busy = true;

        public void End() => _busy = false;

        public void Look(TimeSpan elapsed)
        {
            Interlocked.Increment(ref _looks);
            OnLook?.Invoke();
            if (Throws)
            {
                throw new InvalidOperationException("on purpose");
            }
        }
    }
}
