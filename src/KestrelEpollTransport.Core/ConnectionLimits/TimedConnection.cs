using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.ConnectionLimits;

/// <summary>The times of one connection. <see cref="Look"/> is for one thread at a time, everything else for any.</summary>
/// <remarks>
/// <para>At its age a connection is asked to end when the other side says something next, or a little later if it says nothing. HTTP/1.1 has
/// a request then, and its answer tells that it is the last one; asked between two requests, the server would close at once, and the client's next
/// request might be on its way. One that was idle is asked at once: it will not say something at just that moment.</para>
/// <code>
/// at its age, a request          the connection is asked     then
/// is not sent                    when it is read             it is answered, and the answer tells
/// is sent, and not read          when it is read             the same
/// is read, and not answered      with the next read          it is answered, and the next one that is read tells
/// none for a twentieth more      at once                     the server closes; one on its way, or in TLS half of it, meets the end
/// the same, and its answer       at once                     the server closes behind the answer; that tells if it was not begun
///   goes on
/// none, in its TLS handshake     with the handshake's read   the server closes behind the handshake
/// </code>
/// <para>Read is what the application takes from its own pipe, the one in front of all others. What TLS reads below it tells of no request:
/// first no byte, and then perhaps a part of a record.</para>
/// <para>The flags are only written where they change, as other processors read them.</para>
/// </remarks>
internal sealed class TimedConnection(TimeLimits limits, ConnectionContext connection, long startedMs, long oldAtMs, long oldForGoodAtMs)
{
    private long _activeMs = startedMs;
    private long _askedMs = long.MaxValue;
    private int _isAsked;
    private bool _isAborted;
    private volatile bool _wasActive;
    private volatile bool _isOld;

    public ConnectionContext Connection => connection;

    /// <summary>Something was read or written. The next look takes the time.</summary>
    public void NoteActivity()
    {
        if (!_wasActive)
        {
            _wasActive = true;
        }
    }

    /// <summary>The application took what was read, and has not answered it.</summary>
    public void NoteRead()
    {
        NoteActivity();
        if (_isOld)
        {
            limits.End(this, TimedAction.AskForAge);
        }
    }

    /// <summary>Whether it was not asked to end before. The grace begins.</summary>
    public bool TryAsk(long nowMs)
    {
        if (Interlocked.Exchange(ref _isAsked, 1) != 0)
        {
            return false;
        }

        Volatile.Write(ref _askedMs, nowMs);
        return true;
    }

    public TimedAction Look(long nowMs, long idleMs, long graceMs)
    {
        if (Volatile.Read(ref _isAsked) != 0)
        {
            if (_isAborted || graceMs == long.MaxValue || nowMs - Volatile.Read(ref _askedMs) < graceMs)
            {
                return TimedAction.None;
            }

            _isAborted = true;
            return TimedAction.Abort;
        }

        if (_wasActive)
        {
            // In this order: what comes meanwhile is seen now or by the next look.
            _wasActive = false;
            _activeMs = nowMs;
        }

        _isOld |= nowMs >= oldAtMs;
        return nowMs >= oldForGoodAtMs ? TimedAction.AskForAge : nowMs - _activeMs >= idleMs ? TimedAction.AskForIdle : TimedAction.None;
    }
}
