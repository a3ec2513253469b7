using KestrelEpollTransport.Buffers;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The bytes that the application wrote and the kernel has not taken: a chain of pooled blocks with three marks.
/// <c>sent ≤ committed ≤ written</c>.
/// </summary>
/// <remarks>
/// Under the writer's lock, but for what says "producer": the caller of the writer has the tail for itself between GetMemory and the
/// flush. Blocks are returned to the pool outside of the lock, as the pool is the application's: what is sent leaves the chain by
/// <see cref="TakeSpent"/>.
/// </remarks>
internal unsafe struct SendQueue
{
    /// <summary>On a unix socket Linux makes several messages of a larger send, and forgets a reset that comes between two of them.</summary>
    private const long UnixMessage = 32 * 1024;

    // Producer.
    private BufferSegment? _tail;
    private int _tailLength;
    private long _written;

    private long _committed;
    private long _sent;

    /// <summary>What of <see cref="_sent"/> the kernel has taken; the rest was given up.</summary>
    private long _taken;
    private BufferSegment? _head;

    /// <summary>The first block that is sent and not yet returned: it and those that follow it, up to the head.</summary>
    private BufferSegment? _spent;

    /// <summary>Whether there is no block. False is certain for the producer only while it holds the tail.</summary>
    public readonly bool IsEmpty => _tail is null;

    /// <summary>Bytes written and not yet committed. Producer.</summary>
    public readonly long Uncommitted => _written - _committed;

    /// <summary>All bytes that the kernel has taken. For any thread.</summary>
    public readonly long Sent => Volatile.Read(in _taken);

    /// <summary>Bytes committed and not yet sent.</summary>
    public readonly long Unsent => _committed - _sent;

    /// <summary>The room that is left at the tail, if it has <paramref name="sizeHint"/> bytes, and at least one. Producer.</summary>
    public readonly bool TryGetRoom(int sizeHint, out Memory<byte> room)
    {
        Memory<byte> block = _tail is { } tail ? tail.Block : default;
        room = _tailLength < block.Length ? block[_tailLength..] : default;
        return room.Length >= Math.Max(sizeHint, 1);
    }

    /// <summary>A new tail; what was written is sealed.</summary>
    public Memory<byte> Append(BufferSegment segment)
    {
        if (_tail is null)
        {
            segment.StartAt(_written);
            _head = _spent = segment;
        }
        else
        {
            _tail.Seal(_tailLength);
            _tail.Link(segment);
        }

        _tail = segment;
        _tailLength = 0;
        return segment.Block;
    }

    /// <summary>The caller filled <paramref name="count"/> bytes of the room. False: it has not so many. Producer.</summary>
    public bool TryAdvance(int count)
    {
        if ((uint)count > (uint)(_tail is { } tail ? tail.Block.Length - _tailLength : 0))
        {
            return false;
        }

        // After the bytes themselves: the writer may be completed, and so committed, by another thread.
        _tailLength += count;
        Volatile.Write(ref _written, _written + count);
        return true;
    }

    /// <summary>From now on everything written may be sent.</summary>
    public void Commit() => _committed = _written;

    /// <summary>Sends what one call takes, with something unsent.</summary>
    /// <param name="descriptor">The socket.</param>
    /// <param name="isTcp">Whether it is TCP's, and not a unix socket.</param>
    /// <param name="tookAll">Whether the kernel took all that was offered, and so may take more.</param>
    public IoResult SendOnce(int descriptor, bool isTcp, out bool tookAll)
    {
        SkipSent();
        // Once: pinning is the application's code, which may call back and commit more.
        long committed = isTcp ? _committed : Math.Min(_committed, _sent + UnixMessage);
        long position = _sent;
        IoVector* vectors = stackalloc IoVector[IoVector.MaxCount];
        PinnedVectors pinned = new(vectors);
        try
        {
            for (BufferSegment? segment = _head; position < committed && pinned.Count < IoVector.MaxCount; segment = segment.Following)
            {
                // Within the committed bytes a following segment says where this one ends.
                long end = Math.Min(segment!.Following?.RunningIndex ?? committed, committed);
                if (end > position)
                {
                    pinned.Add(segment.Block[(int)(position - segment.RunningIndex)..(int)(end - segment.RunningIndex)]);
                    position = end;
                }
            }

            IoResult result = SystemCalls.Send(descriptor, vectors, pinned.Count);
            tookAll = result.Value == position - _sent;
            long taken = Math.Max(result.Value, 0);
            _sent += taken;
            Volatile.Write(ref _taken, _taken + taken);
            return result;
        }
        finally
        {
            pinned.Dispose();
        }
    }

    /// <summary>Gives up what is committed.</summary>
    public void Discard() => _sent = _committed;

    /// <summary>What is sent, for <see cref="Release"/> outside of the lock.</summary>
    /// <param name="all">Everything committed is sent and the producer has no memory: the tail too.</param>
    /// <param name="end">The segment that follows the last one of them, which is what is returned if there is none.</param>
    public BufferSegment? TakeSpent(bool all, out BufferSegment? end)
    {
        if (all)
        {
            _head = _tail = null;
            _tailLength = 0;
        }
        else
        {
            SkipSent();
        }

        BufferSegment? spent = _spent;
        end = _spent = _head;
        return spent;
    }

    /// <summary>Returns blocks that <see cref="TakeSpent"/> took.</summary>
    public static void Release(BufferSegment? spent, BufferSegment? end)
    {
        while (spent is not null && spent != end)
        {
            spent = spent.Release();
        }
    }

    private void SkipSent()
    {
        while (_head?.Following is { } following && following.RunningIndex <= _sent)
        {
            _head = following;
        }
    }
}
