using System.Net;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace StressTool.ConnectionLimits;

/// <summary>Kestrel with an endpoint for each limit.</summary>
internal sealed class LimitsServer : IAsyncDisposable
{
    /// <summary>The most connections of one address at <see cref="Address"/>.</summary>
    public const int MostPerAddress = 100;

    private readonly WebApplication _application;

    private LimitsServer(WebApplication application) => _application = application;

    public EndPoint Age => Bound(0);

    public EndPoint AgeWithJitter => Bound(1);

    public EndPoint Idle => Bound(2);

    public EndPoint Address => Bound(3);

    /// <param name="options">The transport.</param>
    /// <param name="time">The age, and the idle time.</param>
    public static async Task<LimitsServer> StartAsync(StressOptions options, TimeSpan time)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();

        // That an address has too many is a Warning, as it should be.
        builder.Logging.ClearProviders();
        if (options.UseSockets)
        {
            builder.WebHost.UseSockets();
        }
        else
        {
            builder.WebHost.UseEpollTransport(transport => transport.Scheduling = options.Scheduling);
        }

        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            Listen(kestrel, static _ => { }, limits => (limits.MaxConnectionAge, limits.MaxConnectionAgeJitter) = (time, 0));
            Listen(kestrel, static _ => { }, limits => limits.MaxConnectionAge = time);
            Listen(kestrel, static listen => listen.Run(EndWhenAskedAsync), limits => limits.IdleTimeout = time);
            Listen(kestrel, static _ => { }, static limits => limits.MaxConnectionsPerAddress = MostPerAddress);
        });
        WebApplication application = builder.Build();
        application.Run(static http =>
        {
            http.Response.ContentLength = 0;
            return Task.CompletedTask;
        });
        await application.StartAsync();
        return new LimitsServer(application);
    }

    public async ValueTask DisposeAsync()
    {
        await _application.StopAsync();
        await _application.DisposeAsync();
    }

    private static void Listen(KestrelServerOptions kestrel, Action<ListenOptions> serve, Action<ConnectionLimitsOptions> configure) =>
        kestrel.Listen(IPAddress.Loopback, 0, listen =>
        {
            listen.Protocols = HttpProtocols.Http1;
            listen.UseConnectionLimits(configure);
            serve(listen);
        });

    private static async Task EndWhenAskedAsync(ConnectionContext connection)
    {
        await connection.Transport.Output.WriteAsync("x"u8.ToArray());
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using CancellationTokenRegistration registration =
            connection.Features.GetRequiredFeature<IConnectionLifetimeNotificationFeature>().ConnectionClosedRequested.Register(asked.SetResult);
        await asked.Task;
    }

    private IPEndPoint Bound(int index)
    {
        IServerAddressesFeature addresses = _application.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>();
        return new IPEndPoint(IPAddress.Loopback, BindingAddress.Parse(addresses.Addresses.ElementAt(index)).Port);
    }
}
