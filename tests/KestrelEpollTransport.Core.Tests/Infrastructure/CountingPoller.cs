using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests;

/// <summary>A poller that counts what it is asked, and told, about shared listeners. The counts are for any thread.</summary>
internal sealed class CountingPoller(Poller inner) : Poller
{
    private readonly HashSet<Token> _shared = [];
    private int _told;

    /// <summary>Whether a listener was registered here.</summary>
    public bool HasListener
    {
        get
        {
            lock (_shared)
            {
                return _shared.Count > 0;
            }
        }
    }

    /// <summary>How often a listener's readiness was told: how often a loop woke for it.</summary>
    public int Told => Volatile.Read(ref _told);

    public override bool SharesListeners => inner.SharesListeners;

    public override IoResult Register(int descriptor, Interest interest, Token token) => inner.Register(descriptor, interest, token);

    public override IoResult RegisterShared(int descriptor, Token token)
    {
        lock (_shared)
        {
            _shared.Add(token);
        }

        return inner.RegisterShared(descriptor, token);
    }

    public override IoResult Modify(int descriptor, Interest interest, Token token) => inner.Modify(descriptor, interest, token);

    public override IoResult Deregister(int descriptor) => inner.Deregister(descriptor);

    public override int Wait(Span<PollEvent> events, int timeoutMs)
    {
        int count = inner.Wait(events, timeoutMs);
        lock (_shared)
        {
            foreach (PollEvent one in events[..count])
            {
                _told += _shared.Contains(one.Token) ? 1 : 0;
            }
        }

        return count;
    }

    public override void Wake() => inner.Wake();

    public override void Dispose() => inner.Dispose();
}
