namespace KestrelEpollTransport.Native.Bsd;

/// <summary>What differs between the kqueues of the BSDs. Source as of <see cref="Kevent"/>.</summary>
/// <param name="EventSize">The distance of two events in a list, in bytes.</param>
/// <param name="UserFilter">EVFILT_USER.</param>
internal sealed record KqueueNumbers(int EventSize, short UserFilter)
{
    /// <summary>The largest <see cref="EventSize"/>.</summary>
    public const int MaxEventSize = 64;

    public static KqueueNumbers Darwin { get; } = new(EventSize: 32, UserFilter: -10);

    public static KqueueNumbers FreeBsd { get; } = new(EventSize: 64, UserFilter: -11);
}
