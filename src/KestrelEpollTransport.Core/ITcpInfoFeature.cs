namespace KestrelEpollTransport;

/// <summary>
/// What the kernel knows of a TCP connection, asked when it is wanted: <c>connection.Features.Get&lt;ITcpInfoFeature&gt;()</c>, or of the features of a
/// request. Unix sockets have none, nor has a system other than Linux.
/// </summary>
public interface ITcpInfoFeature
{
    /// <summary>Asks the kernel: TCP_INFO, tcp(7). One system call, of about a microsecond. Any thread, also while the connection ends.</summary>
    /// <remarks>Once we have reset a connection (<c>Abort</c> with a reason) the kernel has forgotten its counts: they are 0.</remarks>
    /// <param name="info">What the kernel knew at that moment.</param>
    /// <returns>Whether it knew; false once the connection's socket is closed.</returns>
    bool TryGetTcpInfo(out TcpInfo info);
}
