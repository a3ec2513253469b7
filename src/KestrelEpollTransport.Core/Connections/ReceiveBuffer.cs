using System.Buffers;
using System.Runtime.CompilerServices;
using KestrelEpollTransport.Buffers;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The bytes that were received and not yet consumed: a chain of pooled blocks that the kernel writes into.
/// Holds no block when it holds no byte. For one thread at a time.
/// </summary>
/// <param name="chain">What no other buffer has: its owner. Marks the segments, so that a position is known to be one of them without a walk.</param>
internal unsafe struct ReceiveBuffer(object chain)
{
    /// <summary>The most blocks one receive fills: 64 KiB with the usual block.</summary>
    private const int MaxBlocks = 16;

    /// <summary>Less room than this at the tail is not worth a receive of its own.</summary>
    private const int MinRoom = 512;

    private BufferSegment? _head;
    private BufferSegment? _tail;

    // Absolute positions in the stream.
    private long _consumed;
    private long _examined;
    private long _received;

    // How many blocks the next receive offers: grows while they fill, shrinks while they don't.
    private int _blocksToOffer = 1;

    /// <summary>All bytes received so far. For any thread, unlike the rest.</summary>
    public readonly long Received => Volatile.Read(in _received);

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
        IoVector* vectors = stackalloc IoVector[MaxBlocks + 1];
        PinnedVectors pinned = new(vectors);
        BufferSegment? rented = null;
        BufferSegment? last = null;
        long offered = 0;
        try
        {
            if (_tail is { Room.Length: > 0 })
            {
                offered = _tail.Room.Length;
                pinned.Add(_tail.Room);
            }

            // As long as one block is enough, what is left of the last one may do.
            long wanted = _blocksToOffer == 1 ? MinRoom : limit;
            for (int i = 0; i < _blocksToOffer && offered < wanted; i++)
            {
                BufferSegment segment = blocks.Rent();
                last?.Link(segment);
                last = segment;
                rented ??= segment;
                offered += segment.Room.Length;
                pinned.Add(segment.Room);
            }

            IoResult result = SystemCalls.Receive(descriptor, vectors, pinned.Count);
            filled = result.Value == offered;
            if (result.Value > 0)
            {
                // Published whole: others look at it.
                Volatile.Write(ref _received, _received + result.Value);
                _blocksToOffer = filled ? Math.Min(_blocksToOffer * 2, MaxBlocks)
                    : result.Value * 2 <= offered ? Math.Max(_blocksToOffer / 2, 1)
                    : _blocksToOffer;
                for (long left = result.Value - (_tail?.Fill(result.Value) ?? 0); left > 0; left -= _tail!.Fill(left))
                {
                    BufferSegment segment = rented!;
                    rented = segment.Pop();
                    Append(segment);
                }
            }

            return result;
        }
        finally
        {
            pinned.Dispose();
            while (rented is not null)
            {
                // Nothing was received into it.
                rented = rented.Release();
            }
        }
    }

    /// <summary>Frees what is consumed and notes what is examined.</summary>
    /// <exception cref="InvalidOperationException">A position is not one of the present buffer, or they are in the wrong order.</exception>
    public void Advance(SequencePosition consumed, SequencePosition examined)
    {
        long consumedTo = ToAbsolute(consumed, _consumed);
        long examinedTo = ToAbsolute(examined, _examined);
        if (examinedTo < consumedTo || consumedTo < _consumed)
        {
            throw Misuse.InvalidPosition();
        }

        _consumed = consumedTo;
        _examined = examinedTo;
        Free(upTo: consumedTo);
    }

    /// <summary>Returns every block that has nothing behind a position.</summary>
    public void Free(long upTo = long.MaxValue)
    {
        while (_head is not null && _head.EndPosition <= upTo)
        {
            _head = _head.Release();
        }

        _tail = _head is null ? null : _tail;
    }

    private void Append(BufferSegment segment)
    {
        segment.Chain = chain;
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
        if (position.GetObject() is BufferSegment segment && ReferenceEquals(segment.Chain, chain) && (uint)index <= (uint)segment.Memory.Length)
        {
            return segment.RunningIndex + index;
        }

        throw Misuse.InvalidPosition();
    }
}
