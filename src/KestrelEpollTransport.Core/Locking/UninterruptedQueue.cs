using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace KestrelEpollTransport.Locking;

/// <summary>
/// A <see cref="ConcurrentQueue{T}"/> for the transport's own work: nothing gets lost between the queue and a thread that
/// was interrupted. Thread-safe.
/// </summary>
/// <remarks>
/// The runtime's queue takes a lock where a segment is full or used up, and to count several of them; and whoever looks at an item that
/// is only half enqueued sleeps for a moment. An interrupt ends that wait before anything has changed, so the call is made again.
/// </remarks>
internal sealed class UninterruptedQueue<T>
{
    private readonly ConcurrentQueue<T> _queue = new();

    public bool IsEmpty
    {
        get
        {
            try
            {
                return _queue.IsEmpty;
            }
            catch (ThreadInterruptedException)
            {
                bool isEmpty = IsEmpty;
                Uninterrupted.RaiseAgain();
                return isEmpty;
            }
        }
    }

    public int Count
    {
        get
        {
            try
            {
                return _queue.Count;
            }
            catch (ThreadInterruptedException)
            {
                int count = Count;
                Uninterrupted.RaiseAgain();
                return count;
            }
        }
    }

    public void Enqueue(T item)
    {
        try
        {
            _queue.Enqueue(item);
        }
        catch (ThreadInterruptedException)
        {
            Enqueue(item);
            Uninterrupted.RaiseAgain();
        }
    }

    public bool TryDequeue([MaybeNullWhen(false)] out T item)
    {
        try
        {
            return _queue.TryDequeue(out item);
        }
        catch (ThreadInterruptedException)
        {
            bool dequeued = TryDequeue(out item);
            Uninterrupted.RaiseAgain();
            return dequeued;
        }
    }
}
