using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Loops;

/// <summary>
/// Decides whether posting work must wake the loop: a wake is a system call, and a loop that is awake finds
/// the work by itself before it sleeps.
/// </summary>
/// <remarks>
/// <code>
/// from      to        who            when
/// Awake     Sleeping  the loop       about to wait (then it looks at the queue once more)
/// Sleeping  Awake     a poster       after it enqueued; it, and no other, then wakes the poller
/// any       Awake     the loop       the wait returned, or the second look found work
/// </code>
/// The window: work is enqueued after the loop found its queue empty and before it waits. The loop writes
/// Sleeping, fences, reads the queue; the poster writes the queue, fences, reads the state. In every order at
/// least one of the two reads what the other wrote (Dekker), so either the loop does not wait or it is woken.
/// A wake that comes late makes one later wait return early, which costs a pass and nothing else.
/// </remarks>
internal struct WakeGate
{
    private const int Awake = 0;
    private const int Sleeping = 1;

    private int _state;

    /// <summary>Whether the loop works, or will without anybody waking it.</summary>
    public readonly bool IsAwake => Volatile.Read(in _state) == Awake;

    /// <summary>The loop is about to wait: it must look at its queue after this and before it waits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void BeginSleep() => Interlocked.Exchange(ref _state, Sleeping);

    /// <summary>The loop no longer waits. A full fence: who looks for a sleeping loop either sees this, or is seen after it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void EndSleep() => Interlocked.Exchange(ref _state, Awake);

    /// <summary>Called after enqueuing. True: the caller has to wake the poller.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryTakeWake()
    {
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref _state) == Sleeping && Interlocked.Exchange(ref _state, Awake) == Sleeping;
    }
}
