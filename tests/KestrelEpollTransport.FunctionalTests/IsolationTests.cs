using System.Diagnostics.Metrics;
using System.Globalization;
using KestrelEpollTransport.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>What a handler may rely on: its own ambient state, enough stack, true metrics and addresses.</summary>
public class IsolationTests
{
    private static readonly AsyncLocal<string?> s_ambient = new();

    [Theory, AllTransports]
    public async Task AsyncLocal_OfOneRequest_NeverShowsInAnother(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, async context =>
        {
            string? before = s_ambient.Value;
            s_ambient.Value = context.Request.Path;
            await context.Response.WriteAsync(before ?? "clean");
        });
        using HttpClient client = host.CreateClient();
        s_ambient.Value = "of the test";
        try
        {
            for (int round = 0; round < 10; round++)
            {
                string[] seen = await Task.WhenAll(Enumerable.Range(0, 20).Select(
                    i => client.GetStringAsync(new Uri($"/{round}-{i}", UriKind.Relative)))).OrTimeout();
                Assert.All(seen, value => Assert.Equal("clean", value));
            }
        }
        finally
        {
            s_ambient.Value = null;
        }
    }

    [Theory, AllTransports]
    public async Task CultureAndContextSetByAHandler_NeverShowInAnotherConnection(TransportKind kind)
    {
        // A culture of its own: without ICU only the invariant one exists, so the name would tell nothing.
        var odd = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        odd.NumberFormat.NegativeSign = "minus ";
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context =>
        {
            string number = (-1).ToString(CultureInfo.CurrentCulture);
            CultureInfo.CurrentCulture = odd;
            SynchronizationContext? synchronization = SynchronizationContext.Current;
            SynchronizationContext.SetSynchronizationContext(new SynchronizationContext());
            return context.Response.WriteAsync(synchronization is null or ApplicationContext ? number : "a synchronization context");
        });
        using HttpClient client = host.CreateClient();
        // Within one connection Kestrel itself carries them from request to request; across, only a thread could.
        client.DefaultRequestHeaders.ConnectionClose = true;

        for (int i = 0; i < 50; i++)
        {
            Assert.Equal("-1", await client.GetStringAsync(host.Address).OrTimeout());
        }
    }

    [Theory, AllTransports]
    public async Task Handler_RecursingDeep_HasTheStackOfAPoolThread(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context => context.Response.WriteAsync($"{Recurse(10_000)}"));
        using HttpClient client = host.CreateClient();

        // The second request of a connection is the one that our own threads resume.
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal("10000", await client.GetStringAsync(host.Address).OrTimeout());
        }
    }

    [Theory, AllTransports]
    public async Task Metrics_OfAConnection_CarryTheEndPointsTags(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context => context.Response.WriteAsync("x"));
        var measured = new TaskCompletionSource<Dictionary<string, object?>>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var listener = new MeterListener();
        var meters = host.App.Services.GetRequiredService<IMeterFactory>();
        listener.InstrumentPublished = (instrument, self) =>
        {
            // Other tests of this process measure too: only the meter of this host's own factory counts.
            if (instrument.Name == "kestrel.connection.duration" && ReferenceEquals(instrument.Meter.Scope, meters))
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<double>((_, _, tags, _) => measured.TrySetResult(tags.ToArray().ToDictionary(t => t.Key, t => t.Value)));
        listener.Start();

        using (HttpClient client = host.CreateClient())
        {
            await client.GetStringAsync(host.Address).OrTimeout();
        }

        Dictionary<string, object?> found = await measured.Task.OrTimeout();
        Assert.Equal("127.0.0.1", found["server.address"]);
        Assert.Equal(host.Address.Port, found["server.port"]);
        Assert.Equal("ipv4", found["network.type"]);
        Assert.Equal("tcp", found["network.transport"]);
    }

    [Theory, AllTransports]
    public async Task Handler_AskingForAddresses_SeesThoseOfTheSocketFeature(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context =>
        {
            var socket = context.Features.GetRequiredFeature<IConnectionSocketFeature>().Socket;
            ConnectionInfo connection = context.Connection;
            return context.Response.WriteAsync(
                $"{socket.ProtocolType} {connection.RemoteIpAddress}:{connection.RemotePort} {socket.RemoteEndPoint} {connection.LocalIpAddress}:{connection.LocalPort}");
        });
        using HttpClient client = host.CreateClient();

        string[] parts = (await client.GetStringAsync(host.Address).OrTimeout()).Split(' ');

        Assert.Equal("Tcp", parts[0]);
        Assert.Equal(parts[1], parts[2]);
        Assert.Equal($"127.0.0.1:{host.Address.Port}", parts[3]);
    }

    private static int Recurse(int depth)
    {
        // Used after the call as well, so that no frame can be optimized away.
        Span<byte> frame = stackalloc byte[32];
        frame[depth % 32] = 1;
        return depth == 0 ? frame.IndexOf((byte)1) : 1 + Recurse(depth - 1) + (frame.IndexOf((byte)2) + 1);
    }
}
