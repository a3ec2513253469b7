namespace KestrelEpollTransport.ProxyProtocol;

/// <summary>What the first bytes of a connection are.</summary>
internal enum HeaderStatus
{
    /// <summary>They may become a header; nothing is known yet.</summary>
    NeedMore,

    /// <summary>Whatever follows, they are none.</summary>
    NotAHeader,

    /// <summary>A whole, valid header.</summary>
    Header,

    /// <summary>They begin as a header does and are none.</summary>
    Malformed,
}

/// <summary>What <see cref="HeaderParser"/> made of the first bytes of a connection.</summary>
/// <param name="Status">What they are.</param>
/// <param name="Error">With <see cref="HeaderStatus.Malformed"/>: why.</param>
/// <param name="Header">With <see cref="HeaderStatus.Header"/>: what it says.</param>
internal readonly record struct HeaderResult(HeaderStatus Status, HeaderError Error, ProxyHeader Header)
{
    public static HeaderResult NeedMore => new(HeaderStatus.NeedMore, HeaderError.None, default);

    public static HeaderResult NotAHeader => new(HeaderStatus.NotAHeader, HeaderError.None, default);

    public static HeaderResult Malformed(HeaderError error) => new(HeaderStatus.Malformed, error, default);

    public static HeaderResult Of(in ProxyHeader header) => new(HeaderStatus.Header, HeaderError.None, header);
}
