using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using BenchmarkDotNet.Attributes;
using KestrelEpollTransport;
using KestrelEpollTransport.ProxyProtocol;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;

namespace Microbenchmarks;

/// <summary>What <c>UseProxyProtocol</c> adds to a connection whose header is there with the first request; against who reads that at once.</summary>
public class TakingProxyHeader
{
    private static readonly byte[] s_request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"u8.ToArray();
    private static readonly byte[] s_version1 = [.. "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"u8, .. s_request];
    private static readonly byte[] s_version2 =
        [.. "\r\n\r\n\0\r\nQUIT\n"u8, 0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 56324 >> 8, 56324 & 0xFF, 443 >> 8, 443 & 0xFF, .. s_request];

    private static readonly IPEndPoint s_proxy = new(IPAddress.Loopback, 50000);

    private readonly Pipe _pipe = new();
    private readonly ConnectionDelegate _behindHeader;
    private readonly DuplexPipe _transport;

    public TakingProxyHeader()
    {
        _transport = new DuplexPipe(_pipe.Reader, _pipe.Writer);
        var options = new ProxyProtocolOptions();
        options.TrustedNetworks.Add(IPNetwork.Parse("127.0.0.0/8"));
        _behindHeader = new ProxyProtocolMiddleware(ReadRequestAsync, options, NullLogger.Instance).OnConnectionAsync;
    }

    [Benchmark(Baseline = true)]
    public Task WithoutAsync() => ServeAsync(s_request, ReadRequestAsync);

    [Benchmark]
    public Task Version1Async() => ServeAsync(s_version1, _behindHeader);

    [Benchmark]
    public Task Version2Async() => ServeAsync(s_version2, _behindHeader);

    private async Task ServeAsync(byte[] sent, ConnectionDelegate serve)
    {
        _pipe.Writer.Write(sent);
        await _pipe.Writer.FlushAsync();
        await serve(new DefaultConnectionContext { Transport = _transport, RemoteEndPoint = s_proxy, LocalEndPoint = s_proxy });
    }

    private static Task ReadRequestAsync(ConnectionContext connection)
    {
        PipeReader input = connection.Transport.Input;
        return input.TryRead(out ReadResult read) && Advance(input, read.Buffer) == s_request.Length
            ? Task.CompletedTask
            : throw new InvalidOperationException("The request is not behind the header.");
    }

    private static long Advance(PipeReader input, ReadOnlySequence<byte> all)
    {
        long length = all.Length;
        input.AdvanceTo(all.End);
        return length;
    }

    private sealed class DuplexPipe(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input => input;

        public PipeWriter Output => output;
    }
}
