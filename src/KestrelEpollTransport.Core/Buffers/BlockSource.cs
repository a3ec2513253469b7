using System.Buffers;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Buffers;

/// <summary>
/// Rents blocks, from the host's pool where it has one and from the shared array pool otherwise. One for each
/// loop. Thread-safe, as pools are. Outlives the connections that use it.
/// </summary>
internal sealed class BlockSource : IDisposable
{
    /// <summary>The block size of Kestrel's pool, and ours where the pool leaves it open.</summary>
    private const int DefaultBlockSize = 4096;

    private readonly bool _useArrays;
    private volatile bool _disposed;

    public BlockSource(MemoryPool<byte> pool)
    {
        Pool = pool;
        // The shared memory pool wraps an array of the shared array pool in a new object for every rent.
        _useArrays = ReferenceEquals(pool, MemoryPool<byte>.Shared);
    }

    /// <summary>What the connection shows as its memory pool.</summary>
    public MemoryPool<byte> Pool { get; }

    /// <summary>Rents a block of at least <paramref name="sizeHint"/> bytes; 0: of the usual size.</summary>
    public BufferSegment Rent(int sizeHint = 0)
    {
        try
        {
            return RentOnce(sizeHint);
        }
        catch (ThreadInterruptedException)
        {
            // A pool waits for a lock, the shared one too, and has given nothing where that wait is ended.
            BufferSegment segment = Rent(sizeHint);
            Uninterrupted.RaiseAgain();
            return segment;
        }
    }

    public void Dispose()
    {
        _disposed = true;
        if (!_useArrays)
        {
            Pool.Dispose();
        }
    }

    private BufferSegment RentOnce(int sizeHint)
    {
        if (!_useArrays && !_disposed && sizeHint <= Pool.MaxBufferSize)
        {
            try
            {
                IMemoryOwner<byte> owner = Pool.Rent(sizeHint <= 0 ? -1 : sizeHint);
                return BufferSegment.Create(owner.Memory, owner);
            }
            catch (ObjectDisposedException)
            {
                // The transport was disposed between the check and the rent. A late writer still gets memory.
            }
        }

        byte[] array = ArrayPool<byte>.Shared.Rent(Math.Max(sizeHint, DefaultBlockSize));
        return BufferSegment.Create(array, array);
    }
}
