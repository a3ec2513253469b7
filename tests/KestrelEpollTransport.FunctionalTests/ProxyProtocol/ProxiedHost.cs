using System.Net;
using System.Net.Sockets;
using System.Text;
using KestrelEpollTransport.ProxyProtocol;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests.ProxyProtocol;

/// <summary>A web application that answers each request with the addresses of its connection, behind a proxy that a test plays.</summary>
internal sealed class ProxiedHost : IAsyncDisposable
{
    public const string Request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    private readonly UnixDomainSocketEndPoint _unix = new(Net.NewUnixPath());

    private bool _isDisposed;

    private ProxiedHost()
    {
    }

    public KestrelHost Host { get; private set; } = null!;

    /// <summary>The last request's feature, if its connection had one.</summary>
    public IProxyProtocolFeature? Feature { get; private set; }

    public string? Method { get; private set; }

    public static async Task<ProxiedHost> StartAsync(TransportKind kind, Action<ProxyProtocolOptions>? configure, Action<ListenOptions>? listen = null)
    {
        var host = new ProxiedHost();
        host.Host = await KestrelHost.StartAsync(
            kind, app => app.Run(host.AnswerAsync), Listen, builder => builder.WebHost.ConfigureKestrel(o => o.Listen(host._unix, Listen)));
        return host;

        void Listen(ListenOptions options)
        {
            if (configure is null)
            {
                options.UseProxyProtocol();
            }
            else
            {
                options.UseProxyProtocol(configure);
            }

            listen?.Invoke(options);
        }
    }

    public static void TrustLoopback(ProxyProtocolOptions options) => options.TrustedNetworks.Add(IPNetwork.Parse("127.0.0.0/8"));

    public static Action<ProxyProtocolOptions> TrustLoopback(ProxyProtocolMode mode) => options =>
    {
        TrustLoopback(options);
        options.Mode = mode;
    };

    /// <summary>What is answered where the connection keeps its own addresses.</summary>
    public static string PlainAnswer(Socket client) => $"{client.LocalEndPoint} {client.RemoteEndPoint}";

    public static string ProxiedAnswer(int version) => $"{HeaderBytes.Source} {HeaderBytes.Destination} {version} {ProxyProtocolCommand.Proxy}";

    /// <summary>The status and body that a connection is answered with, to these bytes and a request, sent at once.</summary>
    public static async Task<(string Status, string Body)> AskAsync(Socket client, byte[] header)
    {
        await client.SendAllAsync((byte[])[.. header, .. Encoding.ASCII.GetBytes(Request)]);
        return await ReceiveAnswerAsync(client);
    }

    public static async Task<(string Status, string Body)> ReceiveAnswerAsync(Socket client)
    {
        string[] parts = (await client.ReceiveTextToEndAsync()).Split("\r\n\r\n", 2);
        return (parts[0].Split(' ')[1], parts[1].Trim());
    }

    public Task<Socket> ConnectAsync() => Host.ConnectAsync();

    public Task<Socket> ConnectUnixAsync() => Net.ConnectAsync(_unix);

    /// <summary>Completes when Kestrel has taken up a connection: what the client does from then on, the middleware sees.</summary>
    public Task WaitForConnectionAsync() =>
        Host.Logs.WaitForAsync(static e => e.Category == "Microsoft.AspNetCore.Server.Kestrel.Connections" && e.Message.EndsWith(" started.", StringComparison.Ordinal)).OrTimeout();

    /// <summary>The one line that tells why a connection was closed, and contains this. Disposes the host, so that no other may come later.</summary>
    public async Task AssertRefusedAsync(string reason)
    {
        LogEntry entry = await Host.Logs.WaitForAsync(static e => e.Category == ProxyProtocolLog.Category).OrTimeout();
        Assert.Equal(LogLevel.Debug, entry.Level);
        Assert.Contains(reason, entry.Message, StringComparison.Ordinal);
        await DisposeAsync();
        Assert.Single(Host.Logs.All(), static e => e.Category == ProxyProtocolLog.Category);
        AssertCalm();
    }

    public void AssertNobodyWasRefused()
    {
        Assert.DoesNotContain(Host.Logs.All(), static e => e.Category == ProxyProtocolLog.Category);
        AssertCalm();
    }

    public async ValueTask DisposeAsync()
    {
        if (!_isDisposed)
        {
            _isDisposed = true;
            await Host.DisposeAsync();
        }
    }

    // Whatever clients do is nobody's error. Kestrel itself warns where the machine is slow.
    private void AssertCalm()
    {
        Assert.DoesNotContain(Host.Logs.All(), static e => e.Level > LogLevel.Warning);
        Host.AssertTransportWasCalm();
    }

    private Task AnswerAsync(HttpContext context)
    {
        ConnectionInfo connection = context.Connection;
        Method = context.Request.Method;
        Feature = context.Features.Get<IProxyProtocolFeature>();
        string command = Feature is null ? "" : $" {Feature.Version} {Feature.Command}";
        string answer = connection.RemoteIpAddress is null
            ? "unix" + command
            : $"{new IPEndPoint(connection.RemoteIpAddress, connection.RemotePort)} {new IPEndPoint(connection.LocalIpAddress!, connection.LocalPort)}{command}";
        context.Response.ContentLength = answer.Length;
        return context.Response.WriteAsync(answer);
    }
}
