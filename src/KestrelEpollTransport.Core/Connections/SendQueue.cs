using KestrelEpollTransport.Buffers;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The bytes that the application wrote and the kernel has not taken: a chain of pooled blocks with three marks.
/// <c>sent ≤ committed ≤ written</c>.
/// </summary>
/// <remarks>
/// Two parties. The <b>producer</b> is the caller of the writer: it owns the tail and the written mark, while
/// <see cref="SendWord"/> says Lent. The <b>sender</b> is whoever holds Sending: it owns the head and the sent mark, and looks at
/// bytes up to the committed mark. A segment that another one follows belongs to the sender alone.
/// </remarks>
internal unsafe struct SendQueue
{
    // Producer, while lent.
    private BufferSegment? _tail;
    private int _tailLength;
    private long _written;

    // Written by the producer, read by the sender.
    private long _committed;

    // Sender. The producer sets the head of an empty chain, which no sender looks at: nothing of it is committed.
    private BufferSegment? _head;
    private long _sent;

    /// <summary>Bytes written and not yet committed. Producer.</summary>
    public readonly long Uncommitted => _written - _committed;

    /// <summary>Bytes committed and not yet sent. Any thread; may be outdated when it returns.</summary>
    public readonly long Unsent
    {
        get
        {
            // The sent mark first: it never passes the committed mark that is read after it.
            long sent = Volatile.Read(in _sent);
            return Volatile.Read(in _committed) - sent;
        }
    }

    /// <summary>Room for at least <paramref name="sizeHint"/> bytes, and at least one. Producer, lent.</summary>
    public Memory<byte> GetRoom(BlockSource blocks, int sizeHint)
    {
        if (_tail is null)
        {
            _tail = blocks.Rent(sizeHint);
            _tail.StartAt(_written);
            _tailLength = 0;
            _head = _tail;
        }
        else if (_tail.Block.Length - _tailLength < Math.Max(sizeHint, 1))
        {
            BufferSegment following = blocks.Rent(sizeHint);
            _tail.Seal(_tailLength);
            _tail.Link(following);
            _tail = following;
            _tailLength = 0;
        }

        return _tail.Block[_tailLength..];
    }

    /// <summary>The caller filled <paramref name="count"/> bytes of the room. Producer, lent.</summary>
    public void Advance(int count)
    {
        if ((uint)count > (uint)(_tail is null ? 0 : _tail.Block.Length - _tailLength))
        {
            throw new ArgumentOutOfRangeException(nameof(count), count, "More bytes than the memory that was asked for has room for.");
        }

        _tailLength += count;
        _written += count;
    }

    /// <summary>Hands everything written to the sender. Producer.</summary>
    public void Commit() => Volatile.Write(ref _committed, _written);

    /// <summary>Sends what one call takes. Sender, with unsent bytes.</summary>
    public IoResult SendOnce(int descriptor)
    {
        long committed = Volatile.Read(ref _committed);
        SkipSentSegments();
        BufferSegment head = _head!;
        int offset = (int)(_sent - head.RunningIndex);
        BufferSegment? following = head.Following;
        IoResult result = following is null || following.RunningIndex >= committed
            ? SendOneSegment(descriptor, head, offset, (int)(committed - _sent))
            : SendManySegments(descriptor, head, offset, committed);
        if (result.Value > 0)
        {
            Volatile.Write(ref _sent, _sent + result.Value);
        }

        return result;
    }

    /// <summary>Gives up what is committed. Sender.</summary>
    public void Discard()
    {
        Volatile.Write(ref _sent, Volatile.Read(ref _committed));
        if (_head is not null)
        {
            SkipSentSegments();
        }
    }

    /// <summary>Returns every block. Reclaimer: nothing is unsent and nothing is lent.</summary>
    public void Free()
    {
        BufferSegment? segment = _head;
        _head = null;
        _tail = null;
        _tailLength = 0;
        while (segment is not null)
        {
            segment = segment.Release();
        }
    }

    private void SkipSentSegments()
    {
        while (_head!.Following is { } following && following.RunningIndex <= _sent)
        {
            _head.Release();
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

    private readonly IoResult SendManySegments(int descriptor, BufferSegment head, int offset, long committed)
    {
        HandleList handles = default;
        IoVector* vectors = stackalloc IoVector[IoVector.MaxCount];
        int count = 0;
        try
        {
            long position = _sent;
            BufferSegment? segment = head;
            while (count < IoVector.MaxCount && position < committed)
            {
                // Within the committed bytes a following segment says where this one ends.
                BufferSegment? following = segment!.Following;
                long end = following is null ? committed : Math.Min(following.RunningIndex, committed);
                int length = (int)(end - position);
                if (length > 0)
                {
                    // Pinned for the length of the call: pools of the application need not pin theirs.
                    handles[count] = segment.Block.Slice(offset, length).Pin();
                    vectors[count].Base = (byte*)handles[count].Pointer;
                    vectors[count].Length = (nuint)length;
                    count++;
                }

                position = end;
                offset = 0;
                segment = following;
            }

            return SystemCalls.Send(descriptor, vectors, count);
        }
        finally
        {
            for (int i = 0; i < count; i++)
            {
                handles[i].Dispose();
            }
        }
    }

    [System.Runtime.CompilerServices.InlineArray(IoVector.MaxCount)]
    private struct HandleList
    {
        private System.Buffers.MemoryHandle _element;
    }
}
