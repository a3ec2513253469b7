using System.Net;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Listening;

/// <summary>
/// Accepts, and leaves the last descriptors of the process to everything else: one of 32, and 32 at most. As if the limit of
/// open files were that much lower for accepted connections. Thread-safe; one for all listeners of a transport.
/// </summary>
/// <remarks>
/// <para>Without them a full server can't be counted on to live: the runtime needs descriptors to start a thread (a pipe) and to
/// load an assembly, and where its thread pool can't start a thread it ends the process ("Out of memory.").</para>
/// <para>Looks at numbers, as nobody tells how many descriptors are open: a new one gets the lowest number that is free
/// (POSIX.1-2017, 2.14). The headroom is the last numbers. Until a connection gets a number near them nothing is looked at; from
/// then on, before each accept, whether enough would stay free: for each number of the headroom that somebody uses, one
/// below it. That is some 40 short calls. A look holds one descriptor for an instant, one of the headroom where nothing below it
/// is free.</para>
/// <para>Not where the transport has fewer connections than that: waiting for their ends would free hardly any. Nor at first where
/// others had the numbers near it, or the limit was lowered: then EMFILE tells.</para>
/// </remarks>
internal sealed class DescriptorHeadroom
{
    private const int Most = 32;
    private const int Share = 32;

    private readonly Func<int> _getLoad;
    private readonly Lock _lock = new();

    // The lowest number that is near; the first connection asks.
    private int _near;
    private volatile bool _isNear;

    /// <param name="getLoad">How many connections the transport has.</param>
    public DescriptorHeadroom(Func<int> getLoad) => _getLoad = getLoad;

    /// <summary>How many descriptors the process may have. Settable for tests.</summary>
    public Func<int> GetLimit { get; init; } = SystemCalls.GetDescriptorLimit;

    /// <summary>
    /// For who is about to listen: loads what a first look needs, and the exception that reports it. When that look comes, no descriptor may be left to
    /// load it with.
    /// </summary>
    public void Prepare(int listener)
    {
        using (_lock.Hold())
        {
            _ = HasFreeBelow(Find().Begin, count: 1, listener);
        }

        _ = SystemCalls.IsOpen(listener);
        _ = Errno.ToException(Errno.EMFILE).Message;
    }

    /// <summary>As <see cref="SystemCalls.Accept"/>; EMFILE also if only the headroom is left.</summary>
    public IoResult Accept(int listener, SocketAddress peer)
    {
        if (!_isNear)
        {
            IoResult accepted = SystemCalls.Accept(listener, peer);
            if (accepted.IsError ? accepted.Errno == Errno.EMFILE : IsNear((int)accepted.Value))
            {
                // For good: who was near the limit will be again.
                _isNear = true;
            }

            return accepted;
        }

        // One at a time: two that look at once would both take what is there for one.
        using (_lock.Hold())
        {
            return IsShort(listener) ? IoResult.Failure(Errno.EMFILE) : SystemCalls.Accept(listener, peer);
        }
    }

    private bool IsNear(int descriptor)
    {
        if (descriptor < Volatile.Read(ref _near))
        {
            return false;
        }

        // Asked again, as the limit may have been raised meanwhile, prlimit(1). One that was lowered shows as EMFILE.
        // Near is as far from the headroom as that is large: several loops may be accepting right now.
        (int begin, int size) = Find();
        int near = begin - size;
        Volatile.Write(ref _near, near);
        return descriptor >= near;
    }

    private bool IsShort(int listener)
    {
        (int begin, int size) = Find();
        if (size == 0 || _getLoad() < size)
        {
            return false;
        }

        int used = 0;
        for (int descriptor = begin; descriptor < begin + size; descriptor++)
        {
            used += SystemCalls.IsOpen(descriptor) ? 1 : 0;
        }

        return !HasFreeBelow(begin, used + 1, listener);
    }

    // By duplicates, which take the lowest number; one at a time, as others may be waiting for the last.
    private static bool HasFreeBelow(int begin, int count, int any)
    {
        int least = 0;
        for (int i = 0; i < count; i++)
        {
            IoResult free = SystemCalls.Duplicate(any, least);
            if (free.IsError)
            {
                // None from there on. Of anything else the accept may tell.
                return free.Errno is not (Errno.EMFILE or Errno.EINVAL);
            }

            SystemCalls.Close((int)free.Value);
            least = (int)free.Value + 1;
            if (begin - least < count - 1 - i)
            {
                return false;
            }
        }

        return true;
    }

    private (int Begin, int Size) Find()
    {
        int limit = GetLimit();
        int size = limit > 0 ? Math.Min(Most, limit / Share) : 0;
        return (limit > 0 ? limit - size : int.MaxValue, size);
    }
}
