using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Listening;

/// <summary>
/// The right to serve a path, among all servers that ask for it: held from before the path is bound until its file is gone. Who has it removes
/// what a server that was killed left there.
/// </summary>
/// <remarks>
/// <para>Whether somebody serves a path is asked by connecting. To ask and then to remove would not do; A and B start, and the file is stale:</para>
/// <code>
/// 1. A connects: refused.            2. B connects: refused.
/// 3. A removes, binds, listens.
/// 4. B removes, which is A's file, binds, listens: A is deaf, and does not know.
/// </code>
/// <para>No call removes a file only if it is still the same one, and a socket that is bound and does not listen yet refuses as a stale one does. So the
/// right is a lock, flock(2), on a file beside the path. It ends with the process, however that ends.</para>
/// <code>
/// A and B start                      One gets the lock. The other one reports that the address is in use, and has touched nothing.
/// A serves, B starts                 B does not get the lock.
/// A was killed, B starts             B gets the lock, is refused, removes the file, binds.
/// A stops, B starts                  A's socket removes its file, and then A ends its lock: B gets that before, and reports, or after, and finds no file.
///                                    Without a lock for all the time that A serves, A could close, B find the file stale, and bind, and A remove B's file.
/// C does not know the lock, and is   B gets it, connects, and C answers or its backlog is full: the address is in use, and so it is where C's mode
/// there                              does not let us connect, or its socket is of another type: those are left to bind(2).
/// C binds between two calls of B's,  B takes its file for stale. The window that is left: from B's connect to B's removal, or from C's bind to
/// or has, and does not listen yet    C's listen.
/// </code>
/// <para>The lock's file stays: to remove it, too, a lock on a file that was removed would have to be told from one on its successor.</para>
/// </remarks>
internal sealed class UnixPathClaim : IDisposable
{
    private int _lock;

    private UnixPathClaim(int @lock) => _lock = @lock;

    /// <exception cref="AddressInUseException">Another server has the path.</exception>
    /// <exception cref="SocketException">The lock can't be taken, or the file can't be removed; the message says which.</exception>
    public static UnixPathClaim Take(UnixDomainSocketEndPoint endPoint)
    {
        string path = endPoint.ToString();
        string lockPath = path + ".lock";
        IoResult locked = SystemCalls.LockFile(lockPath);
        if (locked.IsError)
        {
            throw locked.WouldBlock
                ? new AddressInUseException($"Another server has '{path}': it holds the lock '{lockPath}'.")
                : Errno.ToException(locked.Errno, $"The lock '{lockPath}' could not be taken");
        }

        UnixPathClaim claim = new((int)locked.Value);
        try
        {
            IoResult connected = Connect(endPoint.Serialize());
            if (!connected.IsError || connected.WouldBlock)
            {
                // It would block where somebody listens and has a full backlog.
                throw new AddressInUseException($"Another server has '{path}': it accepts connections.");
            }

            // Of any other error, and of a file that is no socket's, bind(2) will tell.
            if (connected.Errno == Errno.ECONNREFUSED && SystemCalls.IsSocketFile(path))
            {
                Remove(path);
            }

            return claim;
        }
        catch
        {
            claim.Dispose();
            throw;
        }
    }

    /// <summary>Another server may have the path. Idempotent: the number is somebody else's by then.</summary>
    public void Dispose()
    {
        int descriptor = Interlocked.Exchange(ref _lock, -1);
        if (descriptor >= 0)
        {
            SystemCalls.UnlockFile(descriptor);
        }
    }

    private static IoResult Connect(SocketAddress address)
    {
        IoResult created = SystemCalls.CreateStream(address);
        if (created.IsError)
        {
            throw Errno.ToException(created.Errno);
        }

        IoResult connected = SystemCalls.Connect((int)created.Value, address);
        SystemCalls.Close((int)created.Value);
        return connected;
    }

    private static void Remove(string path)
    {
        IoResult removed = SystemCalls.RemoveFile(path);
        if (removed.IsError && removed.Errno != Errno.ENOENT)
        {
            throw Errno.ToException(removed.Errno, $"The file '{path}', which nobody serves, could not be removed");
        }
    }
}
