using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>A whole web application over one kind of transport, on a loopback port of its own.</summary>
internal sealed class KestrelHost : IAsyncDisposable
{
    private static readonly Lazy<X509Certificate2> s_certificate = new(static () => CreateCertificate("localhost"));

    private KestrelHost(WebApplication app, TransportKind kind, LogRecorder logs)
    {
        App = app;
        Kind = kind;
        Logs = logs;
        AssertServedBy(app, kind);
        Address = new Uri(app.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.First());
    }

    public WebApplication App { get; }

    public TransportKind Kind { get; }

    public LogRecorder Logs { get; }

    public Uri Address { get; }

    public IPEndPoint EndPoint => new(IPAddress.Loopback, Address.Port);

    public static Task<KestrelHost> StartAsync(TransportKind kind, RequestDelegate handler, Action<ListenOptions>? listen = null) =>
        StartAsync(kind, app => app.Run(handler), listen);

    public static async Task<KestrelHost> StartAsync(
        TransportKind kind,
        Action<WebApplication> pipeline,
        Action<ListenOptions>? listen = null,
        Action<WebApplicationBuilder>? configure = null)
    {
        var logs = new LogRecorder();
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(["--hostBuilder:reloadConfigOnChange=false"]);
        Record(builder.Logging, logs);
        Use(builder.WebHost, kind);
        builder.WebHost.ConfigureKestrel(o => o.Listen(Net.AnyLoopbackPort, l => listen?.Invoke(l)));
        configure?.Invoke(builder);
        WebApplication app = builder.Build();
        pipeline(app);
        await app.StartAsync().OrTimeout();
        return new KestrelHost(app, kind, logs);
    }

    public static void Use(IWebHostBuilder builder, TransportKind kind)
    {
        if (kind.IsOurs())
        {
            builder.UseEpollTransport(options => new TransportSettings().ApplyTo(options, kind));
            builder.ConfigureServices(services => services.UsePollerOf(kind));
        }
        else
        {
            builder.UseSockets();
        }
    }

    public static void Record(ILoggingBuilder logging, LogRecorder logs) =>
        logging.ClearProviders().AddProvider(logs).SetMinimumLevel(LogLevel.Trace).AddFilter(null, LogLevel.Trace);

    /// <summary>Of localhost, signed by itself.</summary>
    public static X509Certificate2 Certificate => s_certificate.Value;

    public static void UseTls(ListenOptions listen) => listen.UseHttps(Certificate);

    /// <summary>Trusts the test's certificate only.</summary>
    public static bool IsTrusted(object sender, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors) =>
        certificate?.GetCertHashString() == s_certificate.Value.GetCertHashString();

    /// <summary>What a client of any kind sends through; it trusts the test's certificate only.</summary>
    public static SocketsHttpHandler CreateHandler() => new()
    {
        SslOptions = new SslClientAuthenticationOptions { RemoteCertificateValidationCallback = IsTrusted },
    };

    /// <summary>
    /// A client that speaks exactly <paramref name="version"/> and trusts the test's certificate only; over streams that
    /// <paramref name="connect"/> makes, if given.
    /// </summary>
    public HttpClient CreateClient(Version? version = null, Func<ValueTask<Stream>>? connect = null)
    {
        SocketsHttpHandler handler = CreateHandler();
        handler.ConnectCallback = connect is null ? null : (_, _) => connect();
        return CreateClient(handler, version);
    }

    public HttpClient CreateClient(HttpMessageHandler handler, Version? version = null) => new(handler)
    {
        BaseAddress = Address,
        Timeout = Timeouts.Limit,
        DefaultRequestVersion = version ?? HttpVersion.Version11,
        DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
    };

    /// <summary>A certificate of its own for a name, and for the loopback address.</summary>
    public static X509Certificate2 CreateCertificate(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }

    public Task<Socket> ConnectAsync() => Net.ConnectAsync(EndPoint);

    /// <summary>Whatever came over the network, the transport must not have raised more than Debug.</summary>
    public void AssertTransportWasCalm() => Assert.DoesNotContain(Logs.Of(Kind), e => e.Level > LogLevel.Debug);

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        await App.StopAsync(now.Token).OrTimeout();
        await App.DisposeAsync().OrTimeout();
    }

    /// <summary>Kestrel falls back to Sockets without a word, and then every test of ours would test those.</summary>
    private static void AssertServedBy(WebApplication app, TransportKind kind)
    {
        IConnectionListenerFactory chosen = app.Services.GetServices<IConnectionListenerFactory>()
            .Last(f => f is not IConnectionListenerFactorySelector selector || selector.CanBind(Net.AnyLoopbackPort));
        Assert.IsType(kind.IsOurs() ? typeof(EpollTransportFactory) : typeof(SocketTransportFactory), chosen);
        if (kind.IsOurs())
        {
            // Only a kqueue does not share listeners.
            bool isModel = !app.Services.GetRequiredService<TransportEngine>().Loops.Loops[0].SharesListeners;
            Assert.Equal(kind == TransportKind.KqueueModel, isModel);
        }
    }
}
