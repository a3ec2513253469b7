namespace KestrelEpollTransport;

/// <summary>Options of <c>AddConnectionDraining()</c>. Read, and checked, once: when draining is first needed.</summary>
public sealed class ConnectionDrainingOptions
{
    private static readonly TimeSpan s_maxTimeout = TimeSpan.FromHours(1);

    /// <summary>
    /// How long draining takes at most: as long as connections that are in use have for another request. What is idle then, the server closes;
    /// for requests in flight it waits, both as ever. Part of <c>HostOptions.ShutdownTimeout</c>, so keep it below that. Default: 5 seconds. Limits: 0
    /// to 1 hour.
    /// </summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <exception cref="ArgumentOutOfRangeException">A value is outside its limits.</exception>
    internal void Validate()
    {
        if (Timeout < TimeSpan.Zero || Timeout > s_maxTimeout)
        {
            throw new ArgumentOutOfRangeException(
                nameof(Timeout), Timeout, $"{nameof(ConnectionDrainingOptions)}.{nameof(Timeout)} must be from 0 to 1 hour.");
        }
    }
}
