using System.Net;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>
/// Options of <c>UseProxyProtocol()</c>. By default nobody is trusted, so no header is taken. They are read, and checked, once: when the
/// end point is configured.
/// </summary>
public sealed class ProxyProtocolOptions
{
    /// <summary>The smallest <see cref="MaxHeaderSize"/>, in bytes: a version 2 header with the longest addresses, those of unix sockets.</summary>
    public const int MinMaxHeaderSize = 16 + (2 * 108);

    /// <summary>The largest <see cref="MaxHeaderSize"/>, in bytes: what the length field of version 2 can say.</summary>
    public const int MaxMaxHeaderSize = 16 + ushort.MaxValue;

    private static readonly TimeSpan s_minTimeout = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan s_maxTimeout = TimeSpan.FromHours(1);

    /// <summary>
    /// The networks whose addresses are proxies that are believed. Compared with the address of the connection itself. Default: none.
    /// An IPv4 address is compared with IPv4 networks, also where an IPv6 socket shows it as <c>::ffff:a.b.c.d</c>. Name the proxies
    /// as narrowly as possible: every process of a trusted machine can claim to be any client.
    /// </summary>
    public IList<IPNetwork> TrustedNetworks { get; } = [];

    /// <summary>
    /// Whether whoever connects over a unix socket is a proxy that is believed: the file's mode then is what protects it. Default:
    /// <see langword="false"/>.
    /// </summary>
    public bool TrustUnixSockets { get; set; }

    /// <summary>Which connections have to begin with a header. Default: <see cref="ProxyProtocolMode.RequiredFromTrusted"/>.</summary>
    public ProxyProtocolMode Mode { get; set; } = ProxyProtocolMode.RequiredFromTrusted;

    /// <summary>
    /// How long a trusted source may take from the moment it is waited for until all of its header is there; then the connection is closed.
    /// In <see cref="ProxyProtocolMode.Optional"/> mode until it is known that there is no header. Default: 5 seconds; the specification
    /// advises at least 3, which cover a segment that TCP has to send again. Limits: 1 ms to 1 hour.
    /// </summary>
    public TimeSpan HeaderTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The largest header of version 2 that is taken, in bytes, with all of its values; a connection with a larger one is closed as soon as
    /// the length is known. One of version 1 has at most 107. Default: 4,096. Limits: 232 (<see cref="MinMaxHeaderSize"/>) to 65,551
    /// (<see cref="MaxMaxHeaderSize"/>).
    /// </summary>
    public int MaxHeaderSize { get; set; } = 4096;

    /// <exception cref="OptionsValidationException">Values are outside their limits; it names each of them.</exception>
    internal void Validate() => FindErrors().ThrowIfAny(typeof(ProxyProtocolOptions));

    internal OptionErrors FindErrors()
    {
        OptionErrors errors = new(nameof(ProxyProtocolOptions));
        errors.Require(Enum.IsDefined(Mode), nameof(Mode), Mode, $"must be a value of {nameof(ProxyProtocolMode)}");
        errors.Require(HeaderTimeout >= s_minTimeout && HeaderTimeout <= s_maxTimeout, nameof(HeaderTimeout), HeaderTimeout, "must be from 1 ms to 1 hour");
        errors.Require(
            MaxHeaderSize is >= MinMaxHeaderSize and <= MaxMaxHeaderSize, nameof(MaxHeaderSize), MaxHeaderSize, $"must be from {MinMaxHeaderSize} to {MaxMaxHeaderSize}");
        return errors;
    }
}
