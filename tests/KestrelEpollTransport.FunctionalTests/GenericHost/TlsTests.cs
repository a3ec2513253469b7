using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text;
using KestrelEpollTransport.FunctionalTests.ConnectionLimits;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests.GenericHost;

/// <summary>TLS in front of a connection handler, in a host without ASP.NET Core.</summary>
public class TlsTests
{
    // RFC 5246, 6.2.1.
    internal const int Alert = 21;
    private const int ApplicationData = 23;
    private const int HeaderBytes = 5;

    private static readonly SslApplicationProtocol s_protocol = new("echo/1");

    [Theory, AllTransports]
    public async Task Bytes_BothWaysAtOnce_ArriveAndTheHandlerKnowsTheProtocol(TransportKind kind)
    {
        byte[] data = Net.Pattern(4 * 1024 * 1024);
        var seen = new TaskCompletionSource<SslStream?>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ServerHost host = await StartAsync(kind, connection =>
        {
            seen.SetResult(connection.Features.Get<SslStream>());
            return ServerHost.EchoAsync(connection);
        });
        await using SslStream client = await ConnectAsync(new NetworkStream(await host.ConnectAsync(), ownsSocket: true));

        Task sending = client.WriteAsync(data).AsTask();
        byte[] echo = new byte[data.Length];
        await client.ReadExactlyAsync(echo).OrTimeout();
        await sending.OrTimeout();

        Net.AssertSame(data, echo);
        Assert.Equal(s_protocol, (await seen.Task.OrTimeout())?.NegotiatedApplicationProtocol);
        host.AssertCalm();
    }

    [Theory, AllTransports]
    public async Task Stop_WithAClientThatNeverBeginsItsHandshake_IsNotHeldUp(TransportKind kind)
    {
        await using ServerHost host = await StartAsync(kind, ServerHost.EchoAsync);
        using Socket silent = await host.ConnectAsync();
        await using (SslStream client = await ConnectAsync(new NetworkStream(await host.ConnectAsync(), ownsSocket: true)))
        {
            // Accepted behind the silent one, which so is in its handshake.
            await client.WriteAsync("x"u8.ToArray()).OrTimeout();
            Assert.Equal("x", await ReadTextAsync(client, 1));
        }

        long beganMs = Environment.TickCount64;
        await host.StopAsync().OrTimeout();

        // A handshake may take 10 s otherwise.
        Assert.InRange(Environment.TickCount64 - beganMs, 0, 8_000);
        Assert.Empty(await silent.ReceiveToEndAsync());
    }

    [Theory, EpollTransports("Sockets has no clients.")]
    public async Task Client_OverAConnectionOfOurs_IsAStreamToo(TransportKind kind)
    {
        await using ServerHost host = await StartAsync(kind, ServerHost.EchoAsync);
        var options = new EpollTransportOptions();
        new TransportSettings().ApplyTo(options, kind);
        using EpollConnectionFactory connections = kind.CreateConnectionFactory(Options.Create(options), NullLoggerFactory.Instance);
        await using ConnectionContext connection = await connections.ConnectAsync(host.EndPoint).OrTimeout();
        await using SslStream client = await ConnectAsync(connection.Transport.AsStream());

        await client.WriteAsync("hello"u8.ToArray()).OrTimeout();

        Assert.Equal("hello", await ReadTextAsync(client, 5));
        await client.ShutdownAsync().OrTimeout();
        Assert.Equal(0, await client.ReadAsync(new byte[1]).OrTimeout());
        host.AssertCalm();
    }

    /// <remarks>With TLS 1.3 the type of a record is inside of it, where a test can't look.</remarks>
    [Theory, AllTransports(false), AllTransports(true)]
    public async Task End_OfAHandler_IsToldTheClientUnlessItThrew(TransportKind kind, bool throws)
    {
        await using ServerHost host = await StartAsync(kind, async connection =>
        {
            await connection.Transport.Input.ReadAsync();
            await connection.Transport.Output.WriteTextAsync("bye");
            if (throws)
            {
                throw new FormatException("No such command.");
            }
        });
        using Socket socket = await host.ConnectAsync();
        using var wire = new RecordingStream(socket);
        await using SslStream client = await ConnectAsync(wire, SslProtocols.Tls12);
        await client.WriteAsync("x"u8.ToArray()).OrTimeout();

        Assert.Equal("bye", await ReadTextAsync(client, 3));
        Assert.Equal(0, await client.ReadAsync(new byte[1]).OrTimeout());

        Assert.Equal(throws ? ApplicationData : Alert, LastRecordType(wire.Received.ToArray()));
        if (throws)
        {
            await host.Logs.WaitForAsync(static e => e.Category == ServerHost.Category && e.Id == 63).OrTimeout();
            Assert.Single(host.Logs.All(), static e => e.Level > LogLevel.Information);
        }
        else
        {
            host.AssertCalm();
        }
    }

    [Theory, AllTransports]
    public async Task Stop_WithAnIdleClient_IsToldTheClient(TransportKind kind)
    {
        await using ServerHost host = await StartAsync(kind, ServerHost.EchoAsync);
        using Socket socket = await host.ConnectAsync();
        using var wire = new RecordingStream(socket);
        await using SslStream client = await ConnectAsync(wire, SslProtocols.Tls12);
        await client.WriteAsync("hello"u8.ToArray()).OrTimeout();
        Assert.Equal("hello", await ReadTextAsync(client, 5));

        await host.StopAsync().OrTimeout();

        Assert.Equal(0, await client.ReadAsync(new byte[1]).OrTimeout());
        Assert.Equal(Alert, LastRecordType(wire.Received.ToArray()));
        host.AssertCalm();
    }

    [Theory, AllTransports]
    public async Task Age_InFrontOfTls_LosesNoBytes(TransportKind kind)
    {
        var time = new ManualTime();
        TimeSpan age = TimeSpan.FromMinutes(10);
        await using ServerHost host = await ServerHost.StartAsync(
            kind,
            connections => connections
                .UseConnectionLimits(limits =>
                {
                    limits.MaxConnectionAge = age;
                    limits.MaxConnectionAgeJitter = 0;
                })
                .UseTls(ServerOptions())
                .Run(ServerHost.EchoAsync),
            services => services.AddSingleton<TimeProvider>(time));
        await using SslStream client = await ConnectAsync(new NetworkStream(await host.ConnectAsync(), ownsSocket: true));
        await client.WriteAsync("hello"u8.ToArray()).OrTimeout();
        Assert.Equal("hello", await ReadTextAsync(client, 5));

        time.Advance(age * 1.01);
        await client.WriteAsync("again"u8.ToArray()).OrTimeout();

        Assert.Equal("again", await ReadTextAsync(client, 5));
        Assert.Equal(0, await client.ReadAsync(new byte[1]).OrTimeout());
    }

    [Theory, AllTransports]
    public async Task Client_ThatResets_IsALineAtDebug(TransportKind kind)
    {
        await using ServerHost host = await StartAsync(kind, ServerHost.EchoAsync);
        Socket socket = await host.ConnectAsync();
        SslStream client = await ConnectAsync(new NetworkStream(socket));
        await client.WriteAsync("hello"u8.ToArray()).OrTimeout();
        Assert.Equal("hello", await ReadTextAsync(client, 5));

        socket.Reset();

        await host.Logs.WaitForAsync(static e => e.Category == ServerHost.Category && e.Id == 64).OrTimeout();
        await host.UntilAllAreDisposedAsync();
        host.AssertCalm();
    }

    [Theory, AllTransports]
    public async Task Handshake_OfAClientThatSpeaksSomethingElse_IsALineAtDebug(TransportKind kind)
    {
        await using ServerHost host = await StartAsync(kind, static _ => throw new InvalidOperationException("There was no handshake."));
        using Socket client = await host.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");

        await host.Logs.WaitForAsync(static e => e.Category == ServerHost.TlsCategory && e.Id == 70).OrTimeout();
        await host.UntilAllAreDisposedAsync();
        host.AssertCalm();
    }

    [Theory, AllTransports]
    public async Task Handshake_OfAClientThatSaysNothing_EndsAtItsTimeout(TransportKind kind)
    {
        var time = new ManualTime();
        await using ServerHost host = await StartAsync(kind, ServerHost.EchoAsync, services => services.AddSingleton<TimeProvider>(time));
        using Socket client = await host.ConnectAsync();
        Task<LogEntry> timedOut = host.Logs.WaitForAsync(static e => e.Category == ServerHost.TlsCategory && e.Id == 71);

        // Its timer exists when the handshake begins.
        await Net.UntilAsync(() =>
        {
            time.AdvanceDue(TimeSpan.FromSeconds(11));
            return timedOut.IsCompleted;
        });

        Assert.Empty(await client.ReceiveToEndAsync());
        await host.UntilAllAreDisposedAsync();
        host.AssertCalm();
    }

    [Fact]
    public async Task Configuration_ThatCanNotWork_IsRefused()
    {
        await using ServerHost host = ServerHost.Build(TransportKind.EpollAdaptive, static _ => { });
        var builder = new ConnectionBuilder(host.Services);

        Assert.Throws<ArgumentException>(() => builder.UseTls(new SslServerAuthenticationOptions()));
        Assert.Throws<ArgumentOutOfRangeException>(() => builder.UseTls(ServerOptions(), TimeSpan.Zero));
        Assert.Throws<ArgumentOutOfRangeException>(() => builder.UseTls(ServerOptions(), TimeSpan.FromHours(2)));
    }

    internal static SslServerAuthenticationOptions ServerOptions() => new() { ServerCertificate = KestrelHost.Certificate, ApplicationProtocols = [s_protocol] };

    private static Task<ServerHost> StartAsync(TransportKind kind, ConnectionDelegate handler, Action<IServiceCollection>? configure = null) =>
        ServerHost.StartAsync(kind, connections => connections.UseTls(ServerOptions()).Run(handler.Invoke), configure);

    internal static async Task<SslStream> ConnectAsync(Stream stream, SslProtocols protocols = SslProtocols.None)
    {
        var client = new SslStream(stream);
        await client.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            ApplicationProtocols = [s_protocol],
            EnabledSslProtocols = protocols,
            RemoteCertificateValidationCallback = static (_, certificate, _, _) => certificate?.GetCertHashString() == KestrelHost.Certificate.GetCertHashString(),
        }).OrTimeout();
        return client;
    }

    private static async Task<string> ReadTextAsync(SslStream client, int count)
    {
        byte[] text = new byte[count];
        await client.ReadExactlyAsync(text).OrTimeout();
        return Encoding.ASCII.GetString(text);
    }

    // Each record has a byte for its type, two for the version and two for its length.
    internal static int LastRecordType(ReadOnlySpan<byte> wire)
    {
        int type = 0;
        while (!wire.IsEmpty)
        {
            type = wire[0];
            wire = wire[(HeaderBytes + BinaryPrimitives.ReadUInt16BigEndian(wire[3..]))..];
        }

        return type;
    }

    /// <summary>Keeps what was received, as it was on the wire.</summary>
    internal sealed class RecordingStream(Socket socket) : NetworkStream(socket)
    {
        public MemoryStream Received { get; } = new();

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int count = await base.ReadAsync(buffer, cancellationToken);
            Received.Write(buffer.Span[..count]);
            return count;
        }
    }
}
