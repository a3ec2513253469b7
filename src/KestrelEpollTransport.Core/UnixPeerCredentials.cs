namespace KestrelEpollTransport;

/// <summary>A process at the other end of a unix socket, at the moment at which it connected: <c>struct ucred</c>, unix(7).</summary>
/// <param name="ProcessId">
/// Its id, as our process sees it; 0: it is in a container that ours doesn't see into. The process may have ended since, and its id be
/// another's: no ground for a decision.
/// </param>
/// <param name="UserId">Its effective user; 65534 where our user namespace has no such user (<c>kernel.overflowuid</c>).</param>
/// <param name="GroupId">Its effective group; likewise.</param>
public readonly record struct UnixPeerCredentials(int ProcessId, long UserId, long GroupId);
