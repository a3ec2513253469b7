using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests;

/// <summary>A poller whose wait fails once it is told to.</summary>
internal sealed class BrokenPoller(Poller inner) : Poller
{
    private volatile Exception? _failure;

    public override bool SharesListeners => inner.SharesListeners;

    public void Break(Exception failure)
    {
        _failure = failure;
        inner.Wake();
    }

    public override IoResult Register(int descriptor, Interest interest, Token token) => inner.Register(descriptor, interest, token);

    public override IoResult RegisterShared(int descriptor, Token token) => inner.RegisterShared(descriptor, token);

    public override IoResult Modify(int descriptor, Interest interest, Token token) => inner.Modify(descriptor, interest, token);

    public override IoResult Deregister(int descriptor) => inner.Deregister(descriptor);

    public override int Wait(Span<PollEvent> events, int timeoutMs)
    {
        int count = inner.Wait(events, timeoutMs);
        return _failure is { } failure ? throw failure : count;
    }

    public override void Wake() => inner.Wake();

    public override void Dispose() => inner.Dispose();
}
