using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace StressTool;

/// <summary>A transport and its client side, as an application gets them from its services.</summary>
internal sealed class Transport : IAsyncDisposable
{
    private readonly ServiceProvider _services;
    private readonly IDisposable _contexts;

    private Transport(ServiceProvider services, Func<Socket, ConnectionContext> adopt, IDisposable contexts)
    {
        _services = services;
        _contexts = contexts;
        Adopt = adopt;
        Listeners = services.GetRequiredService<IConnectionListenerFactory>();
        Connections = services.GetRequiredService<IConnectionFactory>();
    }

    public IConnectionListenerFactory Listeners { get; }

    public IConnectionFactory Connections { get; }

    /// <summary>Makes a connection of a socket that is connected already.</summary>
    public Func<Socket, ConnectionContext> Adopt { get; }

    public static Transport CreateEpoll(Random random, ApplicationScheduling scheduling, TrackingMemoryPoolFactory memory, Figures figures)
    {
        ServiceProvider services = CommonServices(memory, figures)
            .AddEpollTransport(options => Configure(options, random, scheduling))
            .BuildServiceProvider();
        var contexts = new EpollConnectionContextFactory(
            services.GetRequiredService<IOptions<EpollTransportOptions>>(),
            services.GetRequiredService<ILoggerFactory>());
        return new Transport(services, contexts.Create, contexts);
    }

    /// <summary>Options at random, small ones above all: there is more to go wrong.</summary>
    public static void Configure(EpollTransportOptions options, Random random, ApplicationScheduling scheduling)
    {
        options.Scheduling = scheduling;
        options.LoopCount = random.Next(1, 5);
        if (scheduling == ApplicationScheduling.Adaptive)
        {
            options.DriversPerLoop = random.Next(1, 9);
            options.CallAfter = TimeSpan.FromMicroseconds(100 * random.Next(2));
        }

        options.MaxWorkers = 1 << random.Next(8);
        options.HandOffLimit = TimeSpan.FromMilliseconds(random.Next(1, 4));
        options.DemotionLimit = TimeSpan.FromMicroseconds(Math.Pow(10, random.Next(2, 6)));
        options.MaxReadBufferSize = 1L << random.Next(13, 21);
        options.MaxWriteBufferSize = 1L << random.Next(13, 18);
        options.CreateBoundListenSocket = CreateListenSocket;
    }

    /// <summary>The stock transport: what fails with it too is the fault of this tool.</summary>
    public static Transport CreateSockets(Random random, ApplicationScheduling scheduling, TrackingMemoryPoolFactory memory, Figures figures)
    {
        var contexts = new SocketConnectionContextFactory(new SocketConnectionFactoryOptions(), NullLogger.Instance);
        IServiceCollection collection = CommonServices(memory, figures)
            .AddSingleton<IConnectionFactory>(new SocketsConnectionFactory(contexts));
        new ServicesOnlyHostBuilder(collection).UseSockets(options =>
        {
            options.UnsafePreferInlineScheduling = scheduling == ApplicationScheduling.UnsafeInline;
            options.IOQueueCount = random.Next(1, 5);
            options.MaxReadBufferSize = 1L << random.Next(13, 21);
            options.MaxWriteBufferSize = 1L << random.Next(13, 18);
            options.CreateBoundListenSocket = CreateListenSocket;
        });
        return new Transport(collection.BuildServiceProvider(), contexts.Create, contexts);
    }

    public async ValueTask DisposeAsync()
    {
        _contexts.Dispose();
        await _services.DisposeAsync();
    }

    private static IServiceCollection CommonServices(TrackingMemoryPoolFactory memory, Figures figures) =>
        new ServiceCollection()
            .AddLogging(logging => logging.SetMinimumLevel(LogLevel.Debug).AddProvider(new LogWatch(figures)))
            .AddSingleton<IMemoryPoolFactory<byte>>(memory);

    /// <summary>Small kernel buffers on IPv6 and unix endpoints, so that flushes block there as a matter of course.</summary>
    private static Socket CreateListenSocket(EndPoint endpoint)
    {
        Socket socket = EpollTransportOptions.CreateDefaultBoundListenSocket(endpoint);
        if (endpoint.AddressFamily != AddressFamily.InterNetwork)
        {
            socket.SendBufferSize = 8 * 1024;
            socket.ReceiveBufferSize = 8 * 1024;
        }

        return socket;
    }

    private sealed class SocketsConnectionFactory(SocketConnectionContextFactory contexts) : IConnectionFactory
    {
        public async ValueTask<ConnectionContext> ConnectAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
            contexts.Create(await RawClient.ConnectAsync(endpoint, cancellationToken));
    }

    /// <summary>Lets UseSockets register what only it can: the pool's factory is internal to its options.</summary>
    private sealed class ServicesOnlyHostBuilder(IServiceCollection services) : IWebHostBuilder
    {
        public IWebHostBuilder ConfigureServices(Action<IServiceCollection> configureServices)
        {
            configureServices(services);
            return this;
        }

#pragma warning disable ASPDEPR008 // The interface that UseSockets extends still has this member.
        public IWebHost Build() => throw new NotSupportedException();
#pragma warning restore ASPDEPR008

        public IWebHostBuilder ConfigureAppConfiguration(Action<WebHostBuilderContext, IConfigurationBuilder> configureDelegate) => throw new NotSupportedException();

        public IWebHostBuilder ConfigureServices(Action<WebHostBuilderContext, IServiceCollection> configureServices) => throw new NotSupportedException();

        public string? GetSetting(string key) => null;

        public IWebHostBuilder UseSetting(string key, string? value) => throw new NotSupportedException();
    }
}
