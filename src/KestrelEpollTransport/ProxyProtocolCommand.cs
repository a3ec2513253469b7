namespace KestrelEpollTransport;

/// <summary>
/// What a PROXY protocol header says of its connection: the command of version 2 (HAProxy's <c>doc/proxy-protocol.txt</c>, section 2.2).
/// </summary>
public enum ProxyProtocolCommand
{
    /// <summary>The proxy made the connection for itself, as for a health check. The connection keeps its own end points.</summary>
    Local = 0,

    /// <summary>The proxy made the connection for a client. A header of version 1, which has no command, always means this.</summary>
    Proxy = 1,
}
