using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>Options of <c>AddConnectionDraining()</c>. Read once. Checked when the host starts: an <see cref="OptionsValidationException"/> then says what is wrong.</summary>
public sealed class ConnectionDrainingOptions
{
    private static readonly TimeSpan s_maxTimeout = TimeSpan.FromHours(1);

    /// <summary>
    /// How long draining takes at most: as long as connections that are in use have for another request. What is idle then, the server closes;
    /// for requests in flight it waits, both as ever. Part of <c>HostOptions.ShutdownTimeout</c>, so keep it below that. Default: 5 seconds. Limits: 0
    /// to 1 hour.
    /// </summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <exception cref="OptionsValidationException">Values are outside their limits; it names each of them.</exception>
    internal void Validate() => FindErrors().ThrowIfAny(typeof(ConnectionDrainingOptions));

    internal OptionErrors FindErrors()
    {
        OptionErrors errors = new(nameof(ConnectionDrainingOptions));
        errors.Require(Timeout >= TimeSpan.Zero && Timeout <= s_maxTimeout, nameof(Timeout), Timeout, "must be from 0 to 1 hour");
        return errors;
    }
}
