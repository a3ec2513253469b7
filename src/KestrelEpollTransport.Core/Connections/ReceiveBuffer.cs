using System.Buffers;
using System.Runtime.CompilerServices;
using KestrelEpollTransport.Buffers;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The bytes that were received and not yet consumed: a chain of pooled blocks that the kernel writes into.
/// Holds no block when it holds no byte. For one thread at a time.
/// </summary>
internal unsafe struct ReceiveBuffer
{
    /// <summary>The most blocks one receive fills: 64 KiB with the usual block.</summary>
    private const int MaxBlocks = 16;

    /// <summary>Less room than this at the tail is not worth a receive of its own.</summary>
    private const int MinRoom = 512;

    /// <summary>Marks the segments of this buffer, so that a position is known to be one of them without a walk.</summary>
    private readonly object _chain;

    private BufferSegment? _head;
    private BufferSegment? _tail;

    // Absolute positions in the stream.
    private long _consumed;
    private long _examined;
    private long _received;

    // How many blocks the next receive offers: grows while they fill, shrinks while they don't.
    private int _blocksToOffer;

    /// <param name="chain">What no other buffer has: its owner.</param>
    public ReceiveBuffer(object chain)
    {
        _chain = chain;
        _blocksToOffer = 1;
    }

    /// <summary>Bytes received and not consumed.</summary>
    public readonly long Buffered => _received - _consumed;

    /// <summary>Bytes received and not examined.</summary>
    public readonly long Unexamined => _received - _examined;

    public readonly ReadOnlySequence<byte> Sequence => _head is null
        ? default
        : new ReadOnlySequence<byte>(_head, (int)(_consumed - _head.RunningIndex), _tail!, _tail!.Memory.Length);

    /// <summary>Whether a read that asked for <paramref name="minimum"/> bytes has something new, and enough.</summary>
    public readonly bool HasEnough(long minimum) => Unexamined > 0 && Buffered >= minimum;

    /// <summary>
    /// Receives <paramref name="limit"/> bytes or a little more: whole blocks are offered, as a receive costs the same for
    /// fewer bytes.
    /// </summary>
    /// <param name="blocks">Where to rent from.</param>
    /// <param name="descriptor">The socket.</param>
    /// <param name="limit">At least 1.</param>
    /// <param name="filled">Whether all room that was offered is used, so that there may be more.</param>
    public IoResult Receive(BlockSource blocks, int descriptor, long limit, out bool filled)
    {
        int room = _tail is null ? 0 : _tail.Block.Length - _tail.Memory.Length;
        return _blocksToOffer == 1
            ? ReceiveOne(blocks, descriptor, room, out filled)
            : ReceiveMany(blocks, descriptor, limit, room, out filled);
    }

    /// <summary>Frees what is consumed and notes what is examined.</summary>
    /// <exception cref="InvalidOperationException">A position is not one of the present buffer, or they are in the wrong order.</exception>
    public void Advance(SequencePosition consumed, SequencePosition examined)
    {
        long consumedTo = ToAbsolute(consumed, _consumed);
        long examinedTo = ToAbsolute(examined, _examined);
        if (examinedTo < consumedTo || consumedTo < _consumed)
        {
            ThrowHelper.InvalidPosition();
        }

        _consumed = consumedTo;
        _examined = examinedTo;
        while (_head is not null && _head.EndPosition <= consumedTo)
        {
            _head = _head.Release();
        }

        if (_head is null)
        {
            _tail = null;
        }
    }

    /// <summary>Returns every block.</summary>
    public void Free()
    {
        while (_head is not null)
        {
            _head = _head.Release();
        }

        _tail = null;
    }

    private IoResult ReceiveOne(BlockSource blocks, int descriptor, int room, out bool filled)
    {
        BufferSegment? rented = room >= MinRoom ? null : blocks.Rent();
        Span<byte> target = rented is null ? _tail!.Block.Span[_tail.Memory.Length..] : rented.Block.Span;
        IoResult result;
        fixed (byte* pointer = target)
        {
            result = SystemCalls.Receive(descriptor, pointer, target.Length);
        }

        filled = result.Value == target.Length;
        if (result.Value <= 0)
        {
            rented?.Release();
            return result;
        }

        if (rented is null)
        {
            _tail!.Seal(_tail.Memory.Length + (int)result.Value);
        }
        else
        {
            rented.Seal((int)result.Value);
            Append(rented);
        }

        _received += result.Value;
        if (filled)
        {
            _blocksToOffer = 2;
        }

        return result;
    }

    private IoResult ReceiveMany(BlockSource blocks, int descriptor, long limit, int room, out bool filled)
    {
        SegmentList rented = default;
        IoVector* vectors = stackalloc IoVector[IoVector.MaxCount];
        PinnedVectors pinned = new(vectors);
        int rentedCount = 0;
        long offered = room;
        try
        {
            if (room > 0)
            {
                pinned.Add(_tail!.Block[_tail.Memory.Length..]);
            }

            while (rentedCount < _blocksToOffer && offered < limit)
            {
                BufferSegment segment = blocks.Rent();
                rented[rentedCount++] = segment;
                pinned.Add(segment.Block);
                offered += segment.Block.Length;
            }

            IoResult result = SystemCalls.Receive(descriptor, vectors, pinned.Count);
            filled = result.Value == offered;
            if (result.Value > 0)
            {
                Accept(result.Value, ref rented, rentedCount);
                _blocksToOffer = filled ? Math.Min(_blocksToOffer * 2, MaxBlocks)
                    : result.Value * 2 <= offered ? Math.Max(_blocksToOffer / 2, 1)
                    : _blocksToOffer;
            }

            return result;
        }
        finally
        {
            pinned.Dispose();
            for (int i = 0; i < rentedCount; i++)
            {
                // Still in the list: nothing was received into it.
                rented[i]?.Release();
            }
        }
    }

    // Hands the received bytes to the tail and then to the rented segments, which leave the list as they are used.
    private void Accept(long received, ref SegmentList rented, int rentedCount)
    {
        _received += received;
        if (_tail is not null)
        {
            int taken = (int)Math.Min(received, _tail.Block.Length - _tail.Memory.Length);
            _tail.Seal(_tail.Memory.Length + taken);
            received -= taken;
        }

        for (int i = 0; i < rentedCount && received > 0; i++)
        {
            BufferSegment segment = rented[i]!;
            rented[i] = null;
            int taken = (int)Math.Min(received, segment.Block.Length);
            segment.Seal(taken);
            Append(segment);
            received -= taken;
        }
    }

    private void Append(BufferSegment segment)
    {
        segment.Chain = _chain;
        if (_tail is null)
        {
            segment.StartAt(_consumed);
            _head = segment;
        }
        else
        {
            _tail.Link(segment);
        }

        _tail = segment;
    }

    private readonly long ToAbsolute(SequencePosition position, long none)
    {
        if (position.GetObject() is null)
        {
            // The position of an empty buffer: nothing changes.
            return none;
        }

        int index = position.GetInteger();
        if (position.GetObject() is BufferSegment segment && ReferenceEquals(segment.Chain, _chain) && (uint)index <= (uint)segment.Memory.Length)
        {
            return segment.RunningIndex + index;
        }

        ThrowHelper.InvalidPosition();
        return 0;
    }

    [InlineArray(MaxBlocks)]
    private struct SegmentList
    {
        private BufferSegment? _element;
    }
}
