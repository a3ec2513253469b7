using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Listening;

/// <summary>
/// The last descriptors of the process, which accepted connections leave to everything else: one of 32, and 32 at most.
/// Thread-safe.
/// </summary>
/// <remarks>
/// Without them a full server can't be counted on to live: the runtime needs descriptors to start a thread (a pipe) and to load
/// an assembly, and where its thread pool can't start a thread it ends the process ("Out of memory."). Counted by number:
/// a new descriptor gets the lowest one free (POSIX.1-2017, 2.14), so all below it are in use.
/// </remarks>
internal sealed class DescriptorHeadroom
{
    private const int Most = 32;
    private const int Share = 32;

    // The number from which on they begin, when last asked; the first connection asks.
    private int _begin;

    /// <summary>How many descriptors the process may have. Settable for tests.</summary>
    public Func<int> GetLimit { get; init; } = SystemCalls.GetDescriptorLimit;

    /// <summary>Whether a descriptor that was just made is one of the last.</summary>
    public bool Includes(int descriptor) =>
        // Asked again, as the limit may have been raised meanwhile, prlimit(1). One that was lowered shows as EMFILE.
        descriptor >= Volatile.Read(ref _begin) && descriptor >= FindBegin();

    /// <summary>Whether the next descriptor would be one of the last, or there is none.</summary>
    /// <param name="any">One that is open; it is duplicated, which tells the next number.</param>
    public bool IsNext(int any)
    {
        int begin = FindBegin();
        IoResult next = SystemCalls.Duplicate(any);
        if (next.IsError)
        {
            return next.Errno is Errno.EMFILE or Errno.ENFILE;
        }

        SystemCalls.Close((int)next.Value);
        return next.Value >= begin;
    }

    private int FindBegin()
    {
        int limit = GetLimit();
        int begin = limit > 0 ? limit - Math.Min(Most, limit / Share) : int.MaxValue;
        Volatile.Write(ref _begin, begin);
        return begin;
    }
}
