using System.Buffers;
using System.Net.Sockets;
using BenchmarkDotNet.Attributes;
using KestrelEpollTransport.Buffers;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Native;

namespace Microbenchmarks;

/// <summary>What a reader's buffer adds to the system call: renting, chaining, consuming. 100 bytes, sent before.</summary>
[CategoriesColumn]
public unsafe class Receiving
{
    private readonly byte[] _sent = new byte[100];
    private readonly byte[] _received = new byte[100];
    private readonly BlockSource _blocks = new(MemoryPool<byte>.Shared);
    private Socket _client = null!;
    private Socket _server = null!;
    private int _descriptor;
    private ReceiveBuffer _buffer = new(new object());

    [GlobalSetup]
    public void Start()
    {
        (_client, _server) = SocketPair.Create();
        _descriptor = SocketPair.DescriptorOf(_server);
    }

    [GlobalCleanup]
    public void Stop()
    {
        _client.Dispose();
        _server.Dispose();
    }

    [Benchmark(Baseline = true)]
    public long SystemCall()
    {
        _client.Send(_sent);
        fixed (byte* pointer = _received)
        {
            return SystemCalls.Receive(_descriptor, pointer, _received.Length).Value;
        }
    }

    [Benchmark]
    [BenchmarkCategory(Categories.Ours)]
    public long Buffer()
    {
        _client.Send(_sent);
        long received = _buffer.Receive(_blocks, _descriptor, long.MaxValue, out _).Value;
        ReadOnlySequence<byte> all = _buffer.Sequence;
        _buffer.Advance(all.End, all.End);
        return received;
    }
}
