using System.Runtime.CompilerServices;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Loops;

/// <summary>
/// What a thread looks like between two dispatches. Application code may change all of it; the next
/// connection on this thread must not see that, as it does not on the thread pool.
/// </summary>
internal readonly struct ThreadBaseline(Thread thread, ExecutionContext? context)
{
    private readonly string? _name = thread.Name;

    /// <summary>Takes the present thread as it is: one that was just started, or that the pool has just given us.</summary>
    public static ThreadBaseline Capture() => new(Thread.CurrentThread, ExecutionContext.Capture());

    /// <summary>Puts everything back. Cultures are part of the execution context. Between two dispatches nobody waits for an interrupt.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Restore()
    {
        Uninterrupted.DropRaised();
        if (!ReferenceEquals(ExecutionContext.Capture(), context) && context is not null)
        {
            ExecutionContext.Restore(context);
        }

        if (SynchronizationContext.Current is not null)
        {
            SynchronizationContext.SetSynchronizationContext(null);
        }

        if (!ReferenceEquals(thread.Name, _name))
        {
            thread.Name = _name;
        }

        if (thread.Priority != ThreadPriority.Normal)
        {
            thread.Priority = ThreadPriority.Normal;
        }

        // A foreground thread keeps its process from ending.
        if (!thread.IsBackground)
        {
            thread.IsBackground = true;
        }
    }
}
