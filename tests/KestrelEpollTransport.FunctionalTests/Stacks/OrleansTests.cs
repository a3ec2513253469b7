using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Hosting;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>
/// An Orleans silo and its client. Orleans takes its factories of connections and listeners as keyed services, under keys that it keeps to
/// itself: it is served by whatever is registered under them last.
/// </summary>
public class OrleansTests
{
    [Theory, AllTransports]
    public async Task Grain_CalledThroughTheGateway_Answers(TransportKind kind)
    {
        (int siloPort, int gatewayPort) = FreePorts();
        var logs = new LogRecorder();
        using IHost silo = Build(kind, logs, builder => builder.UseOrleans(orleans => orleans
            .UseLocalhostClustering(siloPort, gatewayPort)
            .ConfigureServices(services => Use(services, kind))));
        await silo.StartAsync().OrTimeout();
        using IHost client = Build(kind, logs, builder => builder.UseOrleansClient(orleans => orleans
            .UseLocalhostClustering(gatewayPort)
            .ConfigureServices(services => Use(services, kind))));
        await client.StartAsync().OrTimeout();
        IMirror mirror = client.Services.GetRequiredService<IGrainFactory>().GetGrain<IMirror>("one");

        string[] answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(i => mirror.ReflectAsync([(byte)i])).Select(
            static async answer => Convert.ToHexString(await answer))).OrTimeout();
        Assert.Equal(Enumerable.Range(0, 50).Select(static i => $"{i:X2}"), answers);
        byte[] large = Net.Pattern(2 * 1024 * 1024);
        Net.AssertSame(large, await mirror.ReflectAsync(large).OrTimeout());

        await client.StopAsync().OrTimeout();
        await silo.StopAsync().OrTimeout();
        if (kind.IsOurs())
        {
            // The FIN is logged by whoever carried the connection.
            Assert.Contains(logs.Of(kind), static e => e.Id is 6 or 7);
            Assert.DoesNotContain(logs.Of(kind), static e => e.Level > LogLevel.Debug);
        }
    }

#pragma warning disable CA1515 // Orleans makes it.
    public interface IMirror : IGrainWithStringKey
    {
        Task<byte[]> ReflectAsync(byte[] light);
    }

    public sealed class Mirror : Grain, IMirror
#pragma warning restore CA1515
    {
        public Task<byte[]> ReflectAsync(byte[] light) => Task.FromResult(light);
    }

    /// <summary>Has each of Orleans' factories be ours. Sockets: Orleans brings its own.</summary>
    private static void Use(IServiceCollection services, TransportKind kind)
    {
        if (!kind.IsOurs())
        {
            return;
        }

        services.AddEpollTransport(options => new TransportSettings().ApplyTo(options, kind)).UsePollerOf(kind);
        ServiceDescriptor[] keyed = [.. services.Where(static service => service.IsKeyedService
            && (service.ServiceType == typeof(IConnectionFactory) || service.ServiceType == typeof(IConnectionListenerFactory)))];
        Assert.NotEmpty(keyed);
        foreach (ServiceDescriptor service in keyed)
        {
            services.AddKeyedSingleton(service.ServiceType, service.ServiceKey, (provider, _) => provider.GetRequiredService(service.ServiceType));
        }
    }

    private static IHost Build(TransportKind kind, LogRecorder logs, Action<HostApplicationBuilder> configure)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        KestrelHost.Record(builder.Logging, logs);
        configure(builder);
        return builder.Build();
    }

    /// <summary>Two that were free a moment ago: Orleans has to be told which.</summary>
    private static (int First, int Second) FreePorts()
    {
        using var first = new TcpListener(IPAddress.Loopback, 0);
        using var second = new TcpListener(IPAddress.Loopback, 0);
        first.Start();
        second.Start();
        return (((IPEndPoint)first.LocalEndpoint).Port, ((IPEndPoint)second.LocalEndpoint).Port);
    }
}
