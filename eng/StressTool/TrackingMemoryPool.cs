using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;

namespace StressTool;

/// <summary>
/// Makes pools that know which of their blocks are out, and that find a block returned twice or written to after
/// its return. Half of the blocks are not pinned. Any thread may use it.
/// </summary>
internal sealed class TrackingMemoryPoolFactory(Figures figures) : IMemoryPoolFactory<byte>
{
    private int _outstanding;
    private int _rents;
    private int _openPools;

    public int Outstanding => Volatile.Read(ref _outstanding);

    public int OpenPools => Volatile.Read(ref _openPools);

    public MemoryPool<byte> Create(MemoryPoolOptions? options = null)
    {
        Interlocked.Increment(ref _openPools);
        return new Pool(this, figures);
    }

    private sealed class Pool(TrackingMemoryPoolFactory factory, Figures figures) : MemoryPool<byte>
    {
        private const int BlockSize = 4096;

        /// <summary>So many blocks rest, poisoned, before the oldest of them goes out again.</summary>
        private const int Resting = 64;

        private readonly ConcurrentQueue<byte[]> _blocks = new();
        private int _made;
        private int _disposed;

        public override int MaxBufferSize => BlockSize;

        public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
        {
            // As Kestrel's own pool does.
            ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, BlockSize);
            ObjectDisposedException.ThrowIf(_disposed != 0, this);
            Blocking.EveryNth(ref factory._rents, 50_021, figures, "blocked in the memory pool");

            if (_blocks.Count <= Resting || !_blocks.TryDequeue(out byte[]? block))
            {
                block = GC.AllocateUninitializedArray<byte>(BlockSize, pinned: Interlocked.Increment(ref _made) % 2 == 0);
            }
            else if (block.AsSpan().ContainsAnyExcept(Poison))
            {
                figures.Fail("a block of the memory pool was written to after it was returned");
            }

            Interlocked.Increment(ref factory._outstanding);
            return new Block(this, block);
        }

        private const byte Poison = 0xDD;

        private void Return(byte[] block)
        {
            Interlocked.Decrement(ref factory._outstanding);
            block.AsSpan().Fill(Poison);
            _blocks.Enqueue(block);
        }

        protected override void Dispose(bool disposing)
        {
            if (Interlocked.Exchange(ref _disposed, 1) == 0)
            {
                Interlocked.Decrement(ref factory._openPools);
            }
        }

        private sealed class Block(Pool pool, byte[] memory) : IMemoryOwner<byte>
        {
            private byte[]? _memory = memory;

            public Memory<byte> Memory => Volatile.Read(ref _memory) ?? throw new ObjectDisposedException(nameof(Block));

            public void Dispose()
            {
                if (Interlocked.Exchange(ref _memory, null) is { } memory)
                {
                    pool.Return(memory);
                }
                else
                {
                    pool.ReportDoubleReturn();
                }
            }
        }

        private void ReportDoubleReturn() => figures.Fail("a block of the memory pool was returned twice");
    }
}
