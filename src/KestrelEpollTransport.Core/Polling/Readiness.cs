namespace KestrelEpollTransport.Polling;

/// <summary>What is asked of a poller for one descriptor.</summary>
[Flags]
internal enum Interest
{
    /// <summary>Tell when a read would not wait. Hang-up, errors and urgent data are always told.</summary>
    Read = 1,

    /// <summary>Tell when a write would not wait.</summary>
    Write = 2,
}

/// <summary>What a poller tells of one descriptor. Each flag is a hint that a call may now succeed.</summary>
[Flags]
internal enum Readiness
{
    None = 0,

    /// <summary>There is something to read, or end-of-stream, or an error that a read returns.</summary>
    Readable = 1,

    /// <summary>There is room to send.</summary>
    Writable = 2,

    /// <summary>The peer sends nothing more (FIN). What it sent before may still be unread.</summary>
    PeerClosed = 4,

    /// <summary>Both directions ended, as far as the backend can tell: see <see cref="Poller"/>.</summary>
    HangUp = 8,

    /// <summary>The socket has a pending error.</summary>
    Error = 16,

    /// <summary>Urgent data arrived (TCP's urgent pointer, RFC 9293 section 3.8.5).</summary>
    Priority = 32,
}

/// <summary>One thing that a wait returned.</summary>
/// <param name="Token">Whose.</param>
/// <param name="Readiness">What.</param>
internal readonly record struct PollEvent(Token Token, Readiness Readiness);
