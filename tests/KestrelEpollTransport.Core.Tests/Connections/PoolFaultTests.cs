using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>A memory pool of the application that fails, or calls back, while the transport pins a block for a system call.</summary>
public sealed class PoolFaultTests : IDisposable
{
    private readonly HookedPool _pool = new();
    private readonly TransportEngine _engine;
    private readonly EpollConnectionContextFactory _factory;
    private readonly Socket _peer;
    private readonly ConnectionContext _connection;

    public PoolFaultTests()
    {
        _engine = new TransportEngine(new EpollTransportOptions { LoopCount = 1 }, NullLoggerFactory.Instance, _pool);
        _factory = new EpollConnectionContextFactory(_engine);
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));
        listener.Listen(1);
        _peer = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = (int)Timeouts.Limit.TotalMilliseconds };
        _peer.Connect(listener.LocalEndPoint!);
        _connection = _factory.Create(listener.Accept());
    }

    [Fact]
    public async Task Unpin_ThatThrows_LosesNeitherBytesNorResetNorBlock()
    {
        PipeReader input = _connection.Transport.Input;
        _pool.OnUnpin = static () => throw new InvalidOperationException("a block that cannot be unpinned");
        _peer.Send("whole"u8);
        ReadResult read = await input.ReadAsync().AsTask().OrTimeout();
        Assert.Equal(5, read.Buffer.Length);
        input.AdvanceTo(read.Buffer.End);

        _peer.Close(0);

        await Assert.ThrowsAsync<ConnectionResetException>(() => input.ReadAsync().AsTask().OrTimeout());
        await _connection.DisposeAsync().AsTask().OrTimeout();
        await Timeouts.UntilAsync(() => _pool.Rented == 0);
    }

    [Fact]
    public async Task Pin_ThatCompletesTheWriter_StillSendsAllThatWasWritten()
    {
        PipeWriter output = _connection.Transport.Output;
        await output.WriteAsync("flushed, "u8.ToArray()).AsTask().OrTimeout();
        output.Write("kept, "u8);
        bool calledBack = false;
        _pool.OnPin = () =>
        {
            if (!calledBack)
            {
                calledBack = true;
                output.Write("added"u8);
                output.Complete();
            }
        };

        await output.FlushAsync().AsTask().OrTimeout();

        byte[] received = new byte[100];
        int count = 0;
        for (int more; (more = _peer.Receive(received.AsSpan(count))) > 0; count += more)
        {
        }

        Assert.True(calledBack);
        Assert.Equal("flushed, kept, added", System.Text.Encoding.ASCII.GetString(received, 0, count));
    }

    public void Dispose()
    {
        _peer.Dispose();
        _factory.Dispose();
        _engine.Dispose();
    }

    private sealed class HookedPool : MemoryPool<byte>, IMemoryPoolFactory<byte>
    {
        private int _rented;

        public Action? OnPin { get; set; }

        public Action? OnUnpin { get; set; }

        public int Rented => Volatile.Read(ref _rented);

        public override int MaxBufferSize => 4096;

        public MemoryPool<byte> Create(MemoryPoolOptions? options) => this;

        public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
        {
            Interlocked.Increment(ref _rented);
            return new Block(this);
        }

        protected override void Dispose(bool disposing)
        {
        }

        private sealed class Block(HookedPool pool) : MemoryManager<byte>
        {
            private readonly byte[] _array = GC.AllocateArray<byte>(4096, pinned: true);

            public override Span<byte> GetSpan() => _array;

            public override unsafe MemoryHandle Pin(int elementIndex = 0)
            {
                pool.OnPin?.Invoke();
                return new MemoryHandle((byte*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref _array[elementIndex]), pinnable: this);
            }

            public override void Unpin() => pool.OnUnpin?.Invoke();

            protected override void Dispose(bool disposing) => Interlocked.Decrement(ref pool._rented);
        }
    }
}
