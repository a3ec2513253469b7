using System.Net.Sockets;
using BenchmarkDotNet.Attributes;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace Microbenchmarks;

/// <summary>The system's multiplexer, through our door to it. On one thread: nobody is woken.</summary>
[CategoriesColumn]
public unsafe class Polling
{
    private readonly byte[] _byte = new byte[1];
    private readonly PollEvent[] _events = new PollEvent[16];
    private Poller _poller = null!;
    private Socket _client = null!;
    private Socket _server = null!;
    private int _descriptor;

    [GlobalSetup]
    public void Start()
    {
        (_client, _server) = SocketPair.Create();
        _descriptor = SocketPair.DescriptorOf(_server);
        _poller = Poller.Create();
        _poller.Register(_descriptor, Interest.Read, new Token(0, 0));
    }

    [GlobalCleanup]
    public void Stop()
    {
        _poller.Dispose();
        _client.Dispose();
        _server.Dispose();
    }

    [Benchmark(Description = "look, nothing is ready")]
    [BenchmarkCategory(Categories.Ours)]
    public int Look() => _poller.Wait(_events, timeoutMs: 0);

    [Benchmark(Description = "wake, wait")]
    [BenchmarkCategory(Categories.Ours)]
    public int WakeAndWait()
    {
        _poller.Wake();
        return _poller.Wait(_events, timeoutMs: -1);
    }

    [Benchmark(Description = "send, wait, receive")]
    [BenchmarkCategory(Categories.Ours)]
    public long SendWaitReceive()
    {
        _client.Send(_byte);
        _poller.Wait(_events, timeoutMs: -1);
        fixed (byte* pointer = _byte)
        {
            return SystemCalls.Receive(_descriptor, pointer, _byte.Length).Value;
        }
    }
}
