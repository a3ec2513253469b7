namespace KestrelEpollTransport;

/// <summary>Which connections have to begin with a PROXY protocol header. In no mode is the header of an untrusted source believed.</summary>
public enum ProxyProtocolMode
{
    /// <summary>
    /// A trusted source has to send a header, and is closed without one. Any other source is a plain client, and nothing of what it sends is
    /// looked at: a header of its own is garbage to TLS and HTTP. So the address of the source alone decides, and proxies and clients may
    /// share a port.
    /// </summary>
    RequiredFromTrusted = 0,

    /// <summary>Only trusted sources may connect, and have to send a header. Everything else is closed. For a port that only proxies reach.</summary>
    Required = 1,

    /// <summary>
    /// As <see cref="RequiredFromTrusted"/>, but a trusted source may leave the header out and then is a plain client. Whoever can make a
    /// trusted source pass on bytes without a header in front can write one: use it only where no trusted source does that, as to
    /// change over. A protocol in which the server speaks first needs another mode: without a byte of the client nobody can tell.
    /// </summary>
    Optional = 2,
}
