using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>
/// Options of <c>UseConnectionLimits()</c>. By default nothing is limited. They are read, and checked, once: when the end point is configured.
/// </summary>
public sealed class ConnectionLimitsOptions
{
    private static readonly TimeSpan s_minTime = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_maxTime = TimeSpan.FromDays(30);

    /// <summary>
    /// The age at which a connection is asked to end: so that clients find other servers, and new ones. It is asked when the client sends
    /// something next, so that the answer tells that it is the last one, or after a twentieth more. It varies by
    /// <see cref="MaxConnectionAgeJitter"/>, and is looked at 40 times in its length, though once a second at least.
    /// Default: <see langword="null"/>, unlimited. Limits: 100 ms to 30 days.
    /// </summary>
    public TimeSpan? MaxConnectionAge { get; set; }

    /// <summary>
    /// By how much of it <see cref="MaxConnectionAge"/> is shorter or longer, at random: what came together, as after a restart, is not to come back together.
    /// Default: 0.1 (10 % either way, as gRPC does). Limits: 0 to 0.5.
    /// </summary>
    public double MaxConnectionAgeJitter { get; set; } = 0.1;

    /// <summary>
    /// The time after which a connection on which nothing was read or written is asked to end: read means that the application took it, and
    /// written that it flushed. Looked at as often as the age, so that it takes up to a twentieth longer. For protocols of your own: HTTP has
    /// <c>KeepAliveTimeout</c>, which costs less. Default: <see langword="null"/>, unlimited. Limits: 100 ms to 30 days.
    /// </summary>
    public TimeSpan? IdleTimeout { get; set; }

    /// <summary>
    /// How long a connection that was asked to end, by its age or because it was idle, may go on; then it is aborted, with a reset. HTTP ends by
    /// itself behind the requests in flight (<c>Connection: close</c>, GOAWAY); a protocol of your own is asked by
    /// <c>IConnectionLifetimeNotificationFeature.ConnectionClosedRequested</c>. Default: 30 seconds. <see langword="null"/>: for ever. Limits: 0 (at once)
    /// to 30 days.
    /// </summary>
    public TimeSpan? CloseGrace { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// The most connections that the end point has at a time. One more is reset before anything of it is read, so that its client knows at once.
    /// Default: <see langword="null"/>, unlimited. Limit: positive.
    /// </summary>
    public int? MaxConnections { get; set; }

    /// <summary>
    /// The most connections that the end point has at a time from one address, or one network of <see cref="IPv4PrefixLength"/> or
    /// <see cref="IPv6PrefixLength"/>. One more is reset before anything of it is read. With <c>UseProxyProtocol()</c> before, the address is the
    /// client's that the proxy tells. Clients of unix sockets have none. Default: <see langword="null"/>, unlimited. Limit: positive.
    /// </summary>
    public int? MaxConnectionsPerAddress { get; set; }

    /// <summary>How many bits of an IPv4 address count for <see cref="MaxConnectionsPerAddress"/>, also of one that an IPv6 socket shows. Default: 32. Limits: 0 to 32.</summary>
    public int IPv4PrefixLength { get; set; } = 32;

    /// <summary>
    /// How many bits of an IPv6 address count for <see cref="MaxConnectionsPerAddress"/>. Default: 64, the network of one household or machine
    /// (RFC 4291, 2.5.4), which has all of its addresses. Limits: 0 to 128.
    /// </summary>
    public int IPv6PrefixLength { get; set; } = 64;

    /// <exception cref="OptionsValidationException">Values are outside their limits; it names each of them.</exception>
    internal void Validate() => FindErrors().ThrowIfAny(typeof(ConnectionLimitsOptions));

    internal OptionErrors FindErrors()
    {
        OptionErrors errors = new(nameof(ConnectionLimitsOptions));
        errors.Require(IsTime(MaxConnectionAge), nameof(MaxConnectionAge), MaxConnectionAge, "must be null (unlimited) or from 100 ms to 30 days");
        errors.Require(MaxConnectionAgeJitter is >= 0 and <= 0.5, nameof(MaxConnectionAgeJitter), MaxConnectionAgeJitter, "must be from 0 to 0.5");
        errors.Require(IsTime(IdleTimeout), nameof(IdleTimeout), IdleTimeout, "must be null (unlimited) or from 100 ms to 30 days");
        errors.Require(CloseGrace is null || (CloseGrace >= TimeSpan.Zero && CloseGrace <= s_maxTime), nameof(CloseGrace), CloseGrace, "must be null (for ever) or from 0 to 30 days");
        errors.Require(MaxConnections is null or > 0, nameof(MaxConnections), MaxConnections, "must be null (unlimited) or positive");
        errors.Require(MaxConnectionsPerAddress is null or > 0, nameof(MaxConnectionsPerAddress), MaxConnectionsPerAddress, "must be null (unlimited) or positive");
        errors.Require(IPv4PrefixLength is >= 0 and <= 32, nameof(IPv4PrefixLength), IPv4PrefixLength, "must be from 0 to 32");
        errors.Require(IPv6PrefixLength is >= 0 and <= 128, nameof(IPv6PrefixLength), IPv6PrefixLength, "must be from 0 to 128");
        return errors;
    }

    private static bool IsTime(TimeSpan? value) => value is null || (value >= s_minTime && value <= s_maxTime);
}
