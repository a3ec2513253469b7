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
    // Producer.
    private BufferSegment? _tail;
    private int _tailLength;
    private long _written;

    private long _committed;
    private long _sent;
    private BufferSegment? _head;

    /// <summary>The first block that is sent and not yet returned: it and those that follow it, up to the head.</summary>
    private BufferSegment? _spent;

    /// <summary>Whether there is no block. False is certain for the producer only while it holds the tail.</summary>
    public readonly bool IsEmpty => _tail is null;

    /// <summary>Bytes written and not yet committed. Producer.</summary>
    public readonly long Uncommitted => _written - _committed;

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
    /// <param name="tookAll">Whether the kernel took all that was offered, and so may take more.</param>
    public IoResult SendOnce(int descriptor, out bool tookAll)
    {
        SkipSent();
        BufferSegment head = _head!;
        int offset = (int)(_sent - head.RunningIndex);
        BufferSegment? following = head.Following;
        long offered = _committed - _sent;
        IoResult result = following is null || following.RunningIndex >= _committed
            ? SendOneSegment(descriptor, head, offset, (int)offered)
            : SendManySegments(descriptor, head, offset, out offered);
        if (result.Value > 0)
        {
            _sent += result.Value;
        }

        tookAll = result.Value == offered;
        return result;
    }

    /// <summary>Gives up what is committed.</summary>
    public void Discard() => _sent = _committed;

    /// <summary>
    /// What is sent, for <see cref="Release"/> outside of the lock; null if there is nothing.
    /// </summary>
    /// <param name="all">Everything committed is sent and the producer has no memory: the tail too.</param>
    /// <param name="end">The segment that follows the last one of them.</param>
    public BufferSegment? TakeSpent(bool all, out BufferSegment? end)
    {
        if (_head is null)
        {
            end = null;
            return null;
        }

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
        return spent == end ? null : spent;
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
        while (_head!.Following is { } following && following.RunningIndex <= _sent)
        {
            _head = following;
        }
    }

    private static IoResult SendOneSegment(int descriptor, BufferSegment segment, int offset, int length)
    {
        fixed (byte* pointer = segment.Block.Span.Slice(offset, length))
        {
            return SystemCalls.Send(descriptor, pointer, length);
        }
    }

    private readonly IoResult SendManySegments(int descriptor, BufferSegment head, int offset, out long offered)
    {
        IoVector* vectors = stackalloc IoVector[IoVector.MaxCount];
        PinnedVectors pinned = new(vectors);
        long position = _sent;
        try
        {
            BufferSegment? segment = head;
            while (pinned.Count < IoVector.MaxCount && position < _committed)
            {
                // Within the committed bytes a following segment says where this one ends.
                BufferSegment? following = segment!.Following;
                long end = following is null ? _committed : Math.Min(following.RunningIndex, _committed);
                if (end > position)
                {
                    pinned.Add(segment.Block.Slice(offset, (int)(end - position)));
                }

                position = end;
                offset = 0;
                segment = following;
            }

            offered = position - _sent;
            return SystemCalls.Send(descriptor, vectors, pinned.Count);
        }
        finally
        {
            pinned.Dispose();
        }
    }
}
