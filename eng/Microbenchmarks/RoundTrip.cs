using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using BenchmarkDotNet.Attributes;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Microbenchmarks;

/// <summary>
/// 100 bytes to a connection handler and back: two system calls of the client and two of the server, two threads that are
/// woken, and everything of the transport that a request meets.
/// </summary>
[CategoriesColumn]
public class RoundTrip
{
    private readonly byte[] _buffer = new byte[100];
    private Socket _client = null!;
    private IDisposable _transport = null!;
    private Task _echo = null!;

    [GlobalSetup(Target = nameof(Sockets))]
    public void StartSockets()
    {
        SocketConnectionContextFactory factory = new(new SocketConnectionFactoryOptions(), NullLogger.Instance);
        Start(factory, factory.Create);
    }

    [GlobalSetup(Target = nameof(Adaptive))]
    public void StartAdaptive() => StartEpoll(ApplicationScheduling.Adaptive);

    [GlobalSetup(Target = nameof(UnsafeInline))]
    public void StartUnsafeInline() => StartEpoll(ApplicationScheduling.UnsafeInline);

    [GlobalSetup(Target = nameof(ThreadPool))]
    public void StartThreadPool() => StartEpoll(ApplicationScheduling.ThreadPool);

    [Benchmark(Baseline = true)]
    public void Sockets() => SendAndReceive();

    [Benchmark]
    [BenchmarkCategory(Categories.Ours)]
    public void Adaptive() => SendAndReceive();

    [Benchmark]
    [BenchmarkCategory(Categories.Ours)]
    public void UnsafeInline() => SendAndReceive();

    [Benchmark]
    [BenchmarkCategory(Categories.Ours)]
    public void ThreadPool() => SendAndReceive();

    [GlobalCleanup]
    public void Stop()
    {
        _client.Dispose();
        _echo.Wait();
        _transport.Dispose();
    }

    private void StartEpoll(ApplicationScheduling scheduling)
    {
        EpollConnectionContextFactory factory = new(Options.Create(new EpollTransportOptions { Scheduling = scheduling }), NullLoggerFactory.Instance);
        Start(factory, factory.Create);
    }

    private void Start(IDisposable transport, Func<Socket, ConnectionContext> connect)
    {
        (_client, Socket server) = SocketPair.Create();
        _transport = transport;
        _echo = EchoAsync(connect(server));
    }

    private void SendAndReceive()
    {
        _client.Send(_buffer);
        for (int received = 0; received < _buffer.Length;)
        {
            received += _client.Receive(_buffer.AsSpan(received));
        }
    }

    private static async Task EchoAsync(ConnectionContext connection)
    {
        await using (connection)
        {
            while (true)
            {
                ReadResult result = await connection.Transport.Input.ReadAsync();
                foreach (ReadOnlyMemory<byte> segment in result.Buffer)
                {
                    connection.Transport.Output.Write(segment.Span);
                }

                connection.Transport.Input.AdvanceTo(result.Buffer.End);
                FlushResult flushed = await connection.Transport.Output.FlushAsync();
                if (result.IsCompleted || flushed.IsCompleted)
                {
                    return;
                }
            }
        }
    }
}
