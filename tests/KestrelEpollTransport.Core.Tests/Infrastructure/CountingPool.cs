using System.Buffers;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests;

/// <summary>
/// Pools whose blocks are not pinned and watched: how many are out, whether one is returned twice, and whether one is
/// written after its return. A block is poisoned as it returns, so that what is read from it afterwards is wrong. Any thread.
/// </summary>
internal sealed class CountingPoolFactory : IMemoryPoolFactory<byte>
{
    private readonly Lock _lock = new();
    private readonly List<string> _violations = [];
    private int _outstanding;
    private int _highest;
    private long _rents;

    /// <summary>Blocks that were rented and not returned.</summary>
    public int Outstanding => Volatile.Read(ref _outstanding);

    /// <summary>The most blocks that were out at one time.</summary>
    public int Highest => Volatile.Read(ref _highest);

    public long Rents => Volatile.Read(ref _rents);

    public IReadOnlyList<string> Violations
    {
        get
        {
            lock (_lock)
            {
                return [.. _violations];
            }
        }
    }

    public MemoryPool<byte> Create(MemoryPoolOptions? options = null) => new CountingPool(this);

    /// <summary>Nothing is out, nothing was returned twice, and nobody wrote into a block that was not theirs.</summary>
    public async Task AssertAllReturnedAsync()
    {
        await Timeouts.UntilAsync(() => Outstanding == 0);
        Assert.Empty(Violations);
        Assert.True(Rents > 0, "The pool was never asked: this shows nothing.");
    }

    private void OnRented()
    {
        Interlocked.Increment(ref _rents);
        int outstanding = Interlocked.Increment(ref _outstanding);
        int highest = Volatile.Read(ref _highest);
        while (outstanding > highest)
        {
            int seen = Interlocked.CompareExchange(ref _highest, outstanding, highest);
            highest = seen == highest ? outstanding : seen;
        }
    }

    private void Violated(string what)
    {
        lock (_lock)
        {
            _violations.Add($"{what}{Environment.NewLine}{Environment.StackTrace}");
        }
    }

    private sealed class CountingPool(CountingPoolFactory factory) : MemoryPool<byte>
    {
        public const int BlockSize = 4096;

        private readonly CountingPoolFactory _factory = factory;
        private readonly Lock _lock = new();

        // First in, first out: a block that somebody still holds wrongly rests, poisoned, as long as possible.
        private readonly Queue<Block> _free = new();
        private bool _disposed;

        public override int MaxBufferSize => BlockSize;

        public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, BlockSize);
            Block? block;
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                _free.TryDequeue(out block);
            }

            block ??= new Block(this);
            block.OnRent();
            _factory.OnRented();
            return block;
        }

        protected override void Dispose(bool disposing)
        {
            lock (_lock)
            {
                _disposed = true;
            }
        }

        private sealed class Block : IMemoryOwner<byte>
        {
            private const byte Poison = 0xDB;

            private readonly CountingPool _pool;

            // On the ordinary heap: the collector may move it whenever it is not pinned.
            private readonly byte[] _bytes = new byte[BlockSize];
            private int _isOut;

            public Block(CountingPool pool)
            {
                _pool = pool;
                _bytes.AsSpan().Fill(Poison);
            }

            public Memory<byte> Memory
            {
                get
                {
                    if (Volatile.Read(ref _isOut) == 0)
                    {
                        _pool._factory.Violated("The memory of a returned block was asked for.");
                    }

                    return _bytes;
                }
            }

            public void OnRent()
            {
                if (_bytes.AsSpan().ContainsAnyExcept(Poison))
                {
                    _pool._factory.Violated("A block was written into after its return.");
                }

                Volatile.Write(ref _isOut, 1);
            }

            public void Dispose()
            {
                if (Interlocked.Exchange(ref _isOut, 0) == 0)
                {
                    _pool._factory.Violated("A block was returned twice.");
                    return;
                }

                _bytes.AsSpan().Fill(Poison);
                Interlocked.Decrement(ref _pool._factory._outstanding);
                lock (_pool._lock)
                {
                    _pool._free.Enqueue(this);
                }
            }
        }
    }
}
