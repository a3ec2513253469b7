using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// How the peer ends: by a FIN, after which what it sent before is still read, or by a reset. Thread-safe.
/// </summary>
/// <remarks>
/// The window: asking a socket for its error clears it, and a receive at that moment returns 0, as at the end of a stream. The loop
/// counts itself (a fence) before it asks, until the reader knows; a receive that returned 0 fences, and waits while somebody
/// is counted: then a reset has been told, and an end of stream comes second.
/// </remarks>
internal struct PeerEnd
{
    private int _finSeen;
    private int _takingErrors;

    /// <summary>Whether readiness tells that the peer sends no more.</summary>
    public static bool IsToldBy(Readiness readiness) =>
        (readiness & (Readiness.PeerClosed | Readiness.HangUp | Readiness.Error)) != 0;

    /// <summary>Looks at what readiness tells of the peer's end. The loop.</summary>
    public void OnReady(EpollConnection connection, Readiness readiness)
    {
        // An error after a FIN is no error for the reader: it gets what was sent before, and the end.
        if ((readiness & Readiness.Error) != 0 && Volatile.Read(ref _finSeen) == 0)
        {
            TakeError(connection);
        }

        // On TCP a hang-up without an error is a reset whose error another call has been given.
        bool reset = (readiness & Readiness.Error) != 0 || (connection.IsTcp && (readiness & Readiness.HangUp) != 0);
        if ((readiness & Readiness.PeerClosed) != 0 && !reset)
        {
            NoteFin(connection);
        }
    }

    /// <summary>A receive returned 0. Waits until the reader knows of a reset whose error the loop has taken.</summary>
    public void WaitForError()
    {
        Interlocked.MemoryBarrier();
        SpinWait spin = default;
        while (Volatile.Read(ref _takingErrors) != 0)
        {
            spin.SpinOnce();
        }
    }

    /// <summary>The peer said FIN; the first time it is logged.</summary>
    public void NoteFin(EpollConnection connection)
    {
        if (Volatile.Read(ref _finSeen) == 0 && Interlocked.Exchange(ref _finSeen, 1) == 0)
        {
            ConnectionLog.ReadFin(connection.Shared.Logger, connection);
        }
    }

    private void TakeError(EpollConnection connection)
    {
        if (!connection.TryEnterDescriptor(out int descriptor))
        {
            return;
        }

        Interlocked.Increment(ref _takingErrors);
        try
        {
            int errno = SystemCalls.TakeSocketError(descriptor);
            if (errno != 0)
            {
                connection.OnReceiveError(errno);
            }
        }
        finally
        {
            // Whatever happens: a reader may be spinning for it, and the descriptor is counted.
            Interlocked.Decrement(ref _takingErrors);
            connection.LeaveDescriptor();
        }
    }
}
