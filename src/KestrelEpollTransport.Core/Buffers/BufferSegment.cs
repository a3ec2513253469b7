using System.Buffers;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Buffers;

/// <summary>
/// One rented block in a chain. Positions are absolute: byte <c>i</c> of the block is byte
/// <c>RunningIndex + i</c> of the stream. Not thread-safe; the pipe that owns the chain says who may touch what.
/// </summary>
internal sealed class BufferSegment : ReadOnlySequenceSegment<byte>
{
    private object? _owner;

    /// <summary>The whole block.</summary>
    public Memory<byte> Block { get; private set; }

    /// <summary>What is left of the block behind the bytes in use.</summary>
    public Memory<byte> Room => Block[Memory.Length..];

    /// <summary>What the chain is marked with that it belongs to; null while it is in none.</summary>
    public object? Chain { get; set; }

    /// <summary>The segment that continues the stream.</summary>
    public BufferSegment? Following => (BufferSegment?)Next;

    /// <summary>The absolute position after the block's last byte in use, once <see cref="Seal"/> has said so.</summary>
    public long EndPosition => RunningIndex + Memory.Length;

    /// <summary>A segment over <paramref name="block"/>, which goes back to <paramref name="owner"/> on release.</summary>
    /// <param name="block">The memory.</param>
    /// <param name="owner">An <see cref="IMemoryOwner{T}"/>, or the array itself when the shared array pool gave it.</param>
    public static BufferSegment Create(Memory<byte> block, object owner)
    {
        BufferSegment segment = SegmentCache.TryTake() ?? new BufferSegment();
        segment.Block = block;
        segment._owner = owner;
        return segment;
    }

    /// <summary>Says where in the stream the block begins.</summary>
    public void StartAt(long position) => RunningIndex = position;

    /// <summary>Says how many bytes of the block are in use, from its beginning.</summary>
    public void Seal(int length) => Memory = Block[..length];

    /// <summary>As many of <paramref name="count"/> bytes as there is room for are in use from now on; returns how many.</summary>
    public int Fill(long count)
    {
        int filled = (int)Math.Min(count, Room.Length);
        Seal(Memory.Length + filled);
        return filled;
    }

    /// <summary>Continues the chain, behind the bytes that are in use.</summary>
    public void Link(BufferSegment following)
    {
        following.RunningIndex = RunningIndex + Memory.Length;
        Next = following;
    }

    /// <summary>Puts an unused segment on top of a stack of them.</summary>
    public void Push(BufferSegment? below) => Next = below;

    /// <summary>Takes an unused segment from the top of a stack; returns what was below.</summary>
    public BufferSegment? Pop()
    {
        BufferSegment? below = Following;
        Next = null;
        return below;
    }

    /// <summary>Returns the block and gives the object up; returns the segment that followed.</summary>
    public BufferSegment? Release()
    {
        BufferSegment? following = Following;
        object owner = _owner!;
        _owner = null;
        Chain = null;
        Block = default;
        Memory = default;
        RunningIndex = 0;
        SegmentCache.Put(this);
        Return(owner);
        return following;
    }

    private static void Return(object owner)
    {
        try
        {
            if (owner is byte[] array)
            {
                ArrayPool<byte>.Shared.Return(array);
            }
            else
            {
                ((IMemoryOwner<byte>)owner).Dispose();
            }
        }
#pragma warning disable CA1031 // A pool of the application that does not take its block back: amid a chain of others, and of states that wait for its end.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            // The block is the pool's loss. So is one of the shared pool's where an interrupt ended a wait for its lock: it may have it already.
            Uninterrupted.RaiseAgain(exception is ThreadInterruptedException);
        }
    }
}
