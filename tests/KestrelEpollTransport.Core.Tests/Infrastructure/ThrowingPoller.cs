using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests;

/// <summary>A poller that throws, or refuses, when connections are registered, while it is told to.</summary>
internal sealed class ThrowingPoller(Poller inner, Func<IoResult?> onRegister) : Poller
{
    public override bool SharesListeners => inner.SharesListeners;

    public override IoResult Register(int descriptor, Interest interest, Token token) =>
        onRegister() ?? inner.Register(descriptor, interest, token);

    public override IoResult RegisterShared(int descriptor, Token token) => inner.RegisterShared(descriptor, token);

    public override IoResult Modify(int descriptor, Interest interest, Token token) => inner.Modify(descriptor, interest, token);

    public override IoResult Deregister(int descriptor) => inner.Deregister(descriptor);

    public override int Wait(Span<PollEvent> events, int timeoutMs) => inner.Wait(events, timeoutMs);

    public override void Wake() => inner.Wake();

    public override void Dispose() => inner.Dispose();
}
