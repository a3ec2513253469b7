using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using BenchmarkDotNet.Attributes;
using KestrelEpollTransport;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Microbenchmarks;

/// <summary>What a pipe's writer adds to the system call: 100 bytes written and flushed, which the peer receives.</summary>
[CategoriesColumn]
public unsafe class Sending
{
    private readonly byte[] _bytes = new byte[100];
    private readonly byte[] _received = new byte[100];
    private EpollConnectionContextFactory _transport = null!;
    private ConnectionContext _connection = null!;
    private PipeWriter _writer = null!;
    private Socket _peer = null!;
    private Socket? _server;

    [GlobalSetup(Target = nameof(SystemCall))]
    public void StartSocket() => (_peer, _server) = SocketPair.Create();

    [GlobalSetup(Target = nameof(Writer))]
    public void StartWriter()
    {
        (_peer, Socket server) = SocketPair.Create();
        EpollTransportOptions noFlushWaits = new() { MaxWriteBufferSize = null };
        _transport = new EpollConnectionContextFactory(Options.Create(noFlushWaits), NullLoggerFactory.Instance);
        _connection = _transport.Create(server);
        _writer = _connection.Transport.Output;
    }

    [GlobalCleanup(Target = nameof(SystemCall))]
    public void StopSocket()
    {
        _peer.Dispose();
        _server!.Dispose();
    }

    [GlobalCleanup(Target = nameof(Writer))]
    public void StopWriter()
    {
        _peer.Dispose();
        _connection.DisposeAsync().AsTask().Wait();
        _transport.Dispose();
    }

    [Benchmark(Baseline = true)]
    public int SystemCall()
    {
        fixed (byte* pointer = _bytes)
        {
            SystemCalls.Send(SocketPair.DescriptorOf(_server!), pointer, _bytes.Length);
        }

        return _peer.Receive(_received);
    }

    [Benchmark]
    [BenchmarkCategory(Categories.Ours)]
    public int Writer()
    {
        _writer.Write(_bytes);
        ValueTask<FlushResult> flush = _writer.FlushAsync();
        if (!flush.IsCompleted)
        {
            throw new InvalidOperationException("A flush waits, with nothing unsent before it.");
        }

        _ = flush.Result;
        return _peer.Receive(_received);
    }
}
