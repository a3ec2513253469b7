using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using RealStacks;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>The two servers of samples/RealStacks: the application, with endpoints of a test's own, and YARP in front of it.</summary>
internal sealed class StackPair : IAsyncDisposable
{
    private StackPair(KestrelHost application, KestrelHost proxy)
    {
        Application = application;
        Proxy = proxy;
    }

    public KestrelHost Application { get; }

    /// <summary>Speaks HTTP/1.1 and HTTP/2, with TLS.</summary>
    public KestrelHost Proxy { get; }

    public static async Task<StackPair> StartAsync(TransportKind proxyKind, TransportKind kind, Action<WebApplication>? configure = null)
    {
        KestrelHost application = await StartApplicationAsync(kind, static listen => listen.Protocols = HttpProtocols.Http2, configure);
        try
        {
            return new StackPair(application, await KestrelHost.StartAsync(
                proxyKind,
                ReverseProxy.Map,
                KestrelHost.UseTls,
                builder => ReverseProxy.AddServices(builder.Services, application.Address)));
        }
        catch
        {
            await application.DisposeAsync();
            throw;
        }
    }

    /// <summary>The application alone.</summary>
    public static Task<KestrelHost> StartApplicationAsync(
        TransportKind kind, Action<ListenOptions>? listen = null, Action<WebApplication>? configure = null) => KestrelHost.StartAsync(
            kind,
            app =>
            {
                configure?.Invoke(app);
                RealStacks.Application.Map(app);
            },
            listen,
            static builder => RealStacks.Application.AddServices(builder.Services));

    public void AssertTransportsWereCalm()
    {
        Application.AssertTransportWasCalm();
        Proxy.AssertTransportWasCalm();
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Application.DisposeAsync();
    }
}
