namespace KestrelEpollTransport;

/// <summary>
/// Types of the values (type, length, value) that a header of version 2 may carry, for <see cref="IProxyProtocolFeature.TryGetTlv"/>. Those
/// below 0xE0 are of the specification (HAProxy's <c>doc/proxy-protocol.txt</c>, section 2.2); 0xE0 to 0xEF belong to applications, and the
/// ones here are what cloud providers made of them.
/// </summary>
public static class ProxyProtocolTlv
{
    /// <summary>PP2_TYPE_ALPN: the protocol that the client negotiated (RFC 7301), as <c>h2</c>.</summary>
    public const byte Alpn = 0x01;

    /// <summary>PP2_TYPE_AUTHORITY: the host name that the client asked for, as the server name of TLS, in UTF-8.</summary>
    public const byte Authority = 0x02;

    /// <summary>PP2_TYPE_CRC32C: the checksum of the header, 4 bytes. It was checked when the header was read.</summary>
    public const byte Crc32C = 0x03;

    /// <summary>PP2_TYPE_NOOP: padding.</summary>
    public const byte NoOp = 0x04;

    /// <summary>PP2_TYPE_UNIQUE_ID: bytes that identify the connection across proxies; up to 128 by the specification, which is not checked.</summary>
    public const byte UniqueId = 0x05;

    /// <summary>
    /// PP2_TYPE_SSL: one byte of flags, four that are 0 if the client's certificate was verified, and further values within: 0x21 the
    /// version of TLS, 0x22 the certificate's common name, 0x23 the cipher, 0x24 and 0x25 the algorithms of the server's certificate.
    /// </summary>
    public const byte Ssl = 0x20;

    /// <summary>PP2_TYPE_NETNS: the name of the network namespace, in ASCII.</summary>
    public const byte NetworkNamespace = 0x30;

    /// <summary>Google Cloud, Private Service Connect: the id of the connection, 8 bytes in network order.</summary>
    public const byte GcpPscConnectionId = 0xE0;

    /// <summary>Amazon Web Services: a subtype of one byte; behind 0x01 is the id of the VPC endpoint, in ASCII.</summary>
    public const byte Aws = 0xEA;

    /// <summary>Microsoft Azure: a subtype of one byte; behind 0x01 is the link id of the private endpoint, 4 bytes in little-endian order.</summary>
    public const byte Azure = 0xEE;
}
