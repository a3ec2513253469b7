using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>What a connection's feature collection and properties offer.</summary>
public class FeatureTests
{
    [Theory, AllTransports]
    public async Task Features_Enumerated_AreExactlyThoseOfSockets(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        // Sockets has it since .NET 11.
        string[] endPoints = kind == TransportKind.Sockets && Environment.Version.Major < 11 ? [] : [nameof(IConnectionEndPointFeature)];
        Assert.Equal(
            [
                .. endPoints, nameof(IConnectionIdFeature), nameof(IConnectionItemsFeature), nameof(IConnectionLifetimeFeature),
                nameof(IConnectionSocketFeature), nameof(IConnectionTransportFeature), nameof(IMemoryPoolFeature),
            ],
            pair.Server.Features.Select(f => f.Key.Name).Order(StringComparer.Ordinal));
        Assert.All(pair.Server.Features, f => Assert.True(f.Key.IsInstanceOfType(f.Value)));
    }

    [Theory, AllTransports]
    public async Task Features_NotOfTheTransport_AreNull(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        IFeatureCollection features = pair.Server.Features;

        Assert.Null(features.Get<IConnectionInherentKeepAliveFeature>());
        Assert.Null(features.Get<IPersistentStateFeature>());
        Assert.Null(features.Get<IConnectionMetricsTagsFeature>());
        Assert.Null(features.Get<IStreamIdFeature>());
        Assert.Null(features.Get<IStreamDirectionFeature>());
        Assert.Null(features.Get<IStreamAbortFeature>());
        Assert.Null(features.Get<IProtocolErrorCodeFeature>());
        Assert.Null(features[typeof(FeatureTests)]);
    }

    [Theory, AllTransports]
    public async Task EndPointFeature_OfAConnection_IsItsEndPoints(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        if (pair.Server.Features.Get<IConnectionEndPointFeature>() is { } feature)
        {
            var other = new IPEndPoint(IPAddress.Loopback, 1);
            Assert.Equal(pair.Server.LocalEndPoint, feature.LocalEndPoint);
            pair.Server.RemoteEndPoint = other;
            Assert.Same(other, feature.RemoteEndPoint);
        }
        else
        {
            Assert.True(kind == TransportKind.Sockets && Environment.Version.Major < 11);
        }
    }

    [Theory, AllTransports]
    public async Task Features_UnknownTypeSet_IsKeptAndBumpsRevision(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        IFeatureCollection features = pair.Server.Features;
        int before = features.Revision;

        Assert.False(features.IsReadOnly);
        features.Set(this);
        Assert.Same(this, features.Get<FeatureTests>());
        Assert.Contains(features, f => f.Key == typeof(FeatureTests));
        int set = features.Revision;
        Assert.True(set > before);

        features.Set<FeatureTests>(null);
        Assert.Null(features.Get<FeatureTests>());
        Assert.True(features.Revision > set);
    }

    [Theory, AllTransports]
    public async Task Features_KnownTypeReplacedOrRemoved_AreAsSet(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        IFeatureCollection features = pair.Server.Features;
        int before = features.Revision;
        var mine = new OwnItems();

        features.Set<IConnectionItemsFeature>(mine);
        features.Set<IConnectionIdFeature>(null);

        Assert.Same(mine, features.Get<IConnectionItemsFeature>());
        Assert.Null(features.Get<IConnectionIdFeature>());
        Assert.DoesNotContain(features, f => f.Key == typeof(IConnectionIdFeature));
        Assert.True(features.Revision > before);
    }

    [Theory, AllTransports]
    public async Task ConnectionId_OfManyConnections_IsThirteenUniqueBase32Characters(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        var ids = new HashSet<string> { pair.Server.ConnectionId };
        for (int i = 0; i < 20; i++)
        {
            using Socket client = await Net.ConnectAsync(pair.Listener.EndPoint);
            ConnectionContext? server = await pair.Listener.AcceptAsync().OrTimeout();
            Assert.NotNull(server);
            Assert.True(ids.Add(server.ConnectionId));
            Assert.Equal(server.ConnectionId, server.ConnectionId);
            client.Dispose();
            await server.DisposeAsync().OrTimeout();
        }

        Assert.All(ids, id => Assert.Matches("^[0-9A-V]{13}$", id));
    }

    [Theory, AllTransports]
    public async Task Properties_Set_ReadBackThroughFeatures(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        ConnectionContext server = pair.Server;
        IFeatureCollection features = server.Features;
        var items = new Dictionary<object, object?>();
        using var closed = new CancellationTokenSource();
        EndPoint local = new IPEndPoint(IPAddress.Parse("192.0.2.1"), 1);
        EndPoint remote = new IPEndPoint(IPAddress.Parse("192.0.2.2"), 2);
        var transport = new OwnDuplexPipe(pair.Input, pair.Output);

        Assert.NotNull(server.Items);
        Assert.Same(server.Items, server.Items);
        server.Items["key"] = "value";
        Assert.Equal("value", features.GetRequiredFeature<IConnectionItemsFeature>().Items["key"]);

        server.ConnectionId = "mine";
        server.Items = items;
        server.ConnectionClosed = closed.Token;
        server.Transport = transport;
        server.LocalEndPoint = local;
        server.RemoteEndPoint = remote;

        Assert.Equal("mine", features.GetRequiredFeature<IConnectionIdFeature>().ConnectionId);
        Assert.Same(items, features.GetRequiredFeature<IConnectionItemsFeature>().Items);
        Assert.Equal(closed.Token, features.GetRequiredFeature<IConnectionLifetimeFeature>().ConnectionClosed);
        Assert.Same(transport, features.GetRequiredFeature<IConnectionTransportFeature>().Transport);
        Assert.Same(local, server.LocalEndPoint);
        Assert.Same(remote, server.RemoteEndPoint);
    }

    [Theory, AllTransports]
    public async Task EndPoints_OfTcpConnection_AreThoseOfTheTwoSockets(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        Assert.Equal(pair.Client.LocalEndPoint, pair.Server.RemoteEndPoint);
        Assert.Equal(pair.Client.RemoteEndPoint, pair.Server.LocalEndPoint);
        Assert.IsType<IPEndPoint>(pair.Server.LocalEndPoint);
    }

    [Theory, AllTransports]
    public async Task MemoryPoolFeature_Rent_GivesMemory(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        using var block = pair.Server.Features.GetRequiredFeature<IMemoryPoolFeature>().MemoryPool.Rent();
        Assert.False(block.Memory.IsEmpty);
    }

    [Theory, AllTransports]
    public async Task SocketFeature_OfTcpConnection_IsUsable(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        Socket socket = pair.Server.Features.GetRequiredFeature<IConnectionSocketFeature>().Socket;
        Assert.Equal(ProtocolType.Tcp, socket.ProtocolType);
        Assert.Equal(pair.Client.LocalEndPoint, socket.RemoteEndPoint);
        Assert.Equal(pair.Client.RemoteEndPoint, socket.LocalEndPoint);
        Assert.Same(socket, pair.Server.Features.GetRequiredFeature<IConnectionSocketFeature>().Socket);

        socket.SendBufferSize = 100_000;
        Assert.True(socket.SendBufferSize >= 100_000);

        await pair.Output.WriteTextAsync("still ours");
        Assert.Equal("still ours", await pair.Client.ReceiveTextAsync(10));
    }

    [Theory, AllTransports]
    public async Task SocketFeature_AfterConnectionDisposed_ThrowsObjectDisposed(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Socket socket = pair.Server.Features.GetRequiredFeature<IConnectionSocketFeature>().Socket;

        await pair.Server.DisposeAsync().OrTimeout();

        Assert.Throws<ObjectDisposedException>(() => socket.Send("x"u8));
    }

    [Theory, AllTransports]
    public async Task AbortWithoutReason_OfTheContext_NamesConnectionContext(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        pair.Server.Abort();

        ConnectionAbortedException error = await Assert.ThrowsAsync<ConnectionAbortedException>(() => pair.Input.ReadAsync().OrTimeout());
        Assert.Equal("The connection was aborted by the application via ConnectionContext.Abort().", error.Message);
        await pair.Client.AssertResetAsync();
    }

    [Theory, AllTransports]
    public async Task AbortWithoutReason_OfTheLifetimeFeature_NamesTheFeature(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        pair.Server.Features.GetRequiredFeature<IConnectionLifetimeFeature>().Abort();

        ConnectionAbortedException error = await Assert.ThrowsAsync<ConnectionAbortedException>(() => pair.Input.ReadAsync().OrTimeout());
        Assert.Equal("The connection was aborted by the application via IConnectionLifetimeFeature.Abort().", error.Message);
        await pair.Client.AssertResetAsync();
    }

    private sealed class OwnItems : IConnectionItemsFeature
    {
        public IDictionary<object, object?> Items { get; set; } = new Dictionary<object, object?>();
    }
}
