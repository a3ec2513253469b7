namespace KestrelEpollTransport;

/// <summary>
/// Who is at the other end of a unix socket: <c>connection.Features.Get&lt;IUnixPeerCredentialsFeature&gt;()</c>, or of the features of a
/// request. TCP connections have none, nor has a system other than Linux.
/// </summary>
public interface IUnixPeerCredentialsFeature
{
    /// <summary>
    /// Asks the kernel: SO_PEERCRED, unix(7). One system call. The credentials are those at the moment of the client's connect(2), and stay the
    /// same. Any thread, also while the connection ends.
    /// </summary>
    /// <param name="credentials">Whose the client's process was.</param>
    /// <returns>Whether the kernel knew; false once the connection's socket is closed.</returns>
    bool TryGetPeerCredentials(out UnixPeerCredentials credentials);
}
