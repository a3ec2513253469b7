using System.Net.NetworkInformation;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace KestrelEpollTransport.FunctionalTests.KernelOptions;

/// <summary>What the kernel knows of a connection, and who is at its other end.</summary>
public class TcpInfoTests
{
    private const string WhyNotSockets = "Sockets has no such features";

    [Theory, EpollTransports(WhyNotSockets)]
    public async Task TcpInfo_OfAConnection_CountsWhatWentThroughIt(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        ITcpInfoFeature feature = pair.Server.Features.GetRequiredFeature<ITcpInfoFeature>();
        await pair.Client.SendAllAsync(Net.Pattern(5_000));
        _ = await pair.Input.ReadExactlyAsync(5_000);
        _ = await pair.Output.WriteAsync(Net.Pattern(3_000)).OrTimeout();
        _ = await pair.Client.ReceiveExactlyAsync(3_000);

        // The acknowledgement comes with the next segment, or a little later.
        await pair.Client.SendAllAsync(Net.Pattern(7));
        _ = await pair.Input.ReadExactlyAsync(7);
        Assert.True(feature.TryGetTcpInfo(out TcpInfo info));

        Assert.Equal(TcpState.Established, info.State);
        Assert.Equal(5_007, info.BytesReceived);
        Assert.Equal(3_000, info.BytesSent);
        Assert.Equal(3_000, info.BytesAcknowledged);
        Assert.Equal(0, info.NotSentBytes);
        Assert.Equal(0, info.RetransmittedSegments);
        Assert.InRange(info.DataSegmentsSent, 1, info.SegmentsSent);
        Assert.InRange(info.DataSegmentsReceived, 2, info.SegmentsReceived);
        Assert.InRange(info.RoundTripTime, TimeSpan.FromMicroseconds(1), Timeouts.Limit);
        Assert.InRange(info.RoundTripTimeVariation, TimeSpan.FromMicroseconds(1), Timeouts.Limit);
        Assert.NotNull(info.MinRoundTripTime);
        Assert.InRange(info.RetransmissionTimeout, TimeSpan.FromMilliseconds(1), TimeSpan.FromMinutes(3));
        Assert.InRange(info.CongestionWindow, 1, 100_000);
        Assert.InRange(info.SendSegmentSize, 500, 65_536);
        Assert.InRange(info.PathMtu, info.SendSegmentSize, 65_536);
        Assert.InRange(info.SendWindow, 3_000, int.MaxValue);
        Assert.InRange(info.TimeSinceLastReceive, TimeSpan.Zero, Timeouts.Limit);
    }

    [Theory, EpollTransports(WhyNotSockets)]
    public async Task TcpInfo_OfAClosedConnection_IsUnknown(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        ITcpInfoFeature feature = pair.Server.Features.GetRequiredFeature<ITcpInfoFeature>();
        Assert.True(feature.TryGetTcpInfo(out _));

        pair.Server.Abort(new ConnectionAbortedException("Enough."));
        await pair.Server.DisposeAsync().OrTimeout();

        Assert.False(feature.TryGetTcpInfo(out TcpInfo info));
        Assert.Equal(default, info);
    }

    /// <remarks>
    /// Each connection receives another number of bytes: its own are told, or none, whatever becomes of its descriptor's number meanwhile.
    /// </remarks>
    [Theory, EpollTransports(WhyNotSockets)]
    public async Task TcpInfo_AskedWhileConnectionsEnd_NeverTellsOfAnother(TransportKind kind)
    {
        await using ConnectionPair first = await ConnectionPair.CreateAsync(kind);
        for (int round = 1; round <= 50; round++)
        {
            ConnectionPair pair = await first.CreateAnotherAsync();
            int expected = round * 10;
            await pair.Client.SendAllAsync(Net.Pattern(expected));
            _ = await pair.Input.ReadExactlyAsync(expected);
            ITcpInfoFeature feature = pair.Server.Features.GetRequiredFeature<ITcpInfoFeature>();
            var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            Task<int> asking = Task.Run(() =>
            {
                int told = 0;
                while (feature.TryGetTcpInfo(out TcpInfo info))
                {
                    // Of a connection that was reset the kernel has forgotten all. A FIN counts as a byte.
                    Assert.True(info.BytesReceived == 0 || info.BytesReceived - expected is 0 or 1, $"{info.BytesReceived} bytes, and not {expected}.");
                    told++;
                    begun.TrySetResult();
                }

                return told;
            });

            await begun.Task.OrTimeout();
            pair.Server.Abort(new ConnectionAbortedException("Enough."));
            await using ConnectionPair next = await first.CreateAnotherAsync();
            await next.Client.SendAllAsync(Net.Pattern(expected + 5));
            await pair.DisposeAsync();
            Assert.InRange(await asking.OrTimeout(), 1, int.MaxValue);
        }
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Features_OfTheOtherKindOfSocket_AreNull(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));

        Assert.Equal(kind.IsOurs() && !unix, pair.Server.Features.Get<ITcpInfoFeature>() is not null);
        Assert.Equal(kind.IsOurs() && unix, pair.Server.Features.Get<IUnixPeerCredentialsFeature>() is not null);
    }

    [Theory, EpollTransports(WhyNotSockets)]
    public async Task PeerCredentials_OfAUnixClient_AreThisProcess(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix: true));
        IUnixPeerCredentialsFeature feature = pair.Server.Features.GetRequiredFeature<IUnixPeerCredentialsFeature>();

        Assert.True(feature.TryGetPeerCredentials(out UnixPeerCredentials credentials));

        Assert.Equal(Environment.ProcessId, credentials.ProcessId);
        Assert.Equal(IdOf("Uid"), credentials.UserId);
        Assert.Equal(IdOf("Gid"), credentials.GroupId);
        pair.Client.Dispose();
        await pair.Server.DisposeAsync().OrTimeout();
        Assert.False(feature.TryGetPeerCredentials(out _));
    }

    [Theory, EpollTransports(WhyNotSockets)]
    public async Task Features_OfARequestOverTls_AreTheConnections(TransportKind kind)
    {
        TcpInfo info = default;
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind,
            context =>
            {
                Assert.Null(context.Features.Get<IUnixPeerCredentialsFeature>());
                Assert.True(context.Features.GetRequiredFeature<ITcpInfoFeature>().TryGetTcpInfo(out info));
                return context.Response.WriteAsync("known");
            },
            KestrelHost.UseTls);
        using HttpClient client = host.CreateClient();

        Assert.Equal("known", await client.GetStringAsync(new Uri("/", UriKind.Relative)).OrTimeout());

        Assert.InRange(info.BytesReceived, 100, 100_000);
    }

    [Theory, EpollTransports(WhyNotSockets)]
    public async Task PeerCredentials_OfARequestOverAUnixSocket_AreThisProcess(TransportKind kind)
    {
        string path = Net.NewUnixPath();
        int processId = 0;
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind,
            app => app.Run(context =>
            {
                Assert.True(context.Features.GetRequiredFeature<IUnixPeerCredentialsFeature>().TryGetPeerCredentials(out UnixPeerCredentials credentials));
                processId = credentials.ProcessId;
                return context.Response.WriteAsync("known");
            }),
            configure: builder => builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenUnixSocket(path)));
        using HttpClient client = host.CreateClient(connect: async () => new NetworkStream(await Net.ConnectAsync(new UnixDomainSocketEndPoint(path)), ownsSocket: true));

        Assert.Equal("known", await client.GetStringAsync(new Uri("/", UriKind.Relative)).OrTimeout());

        Assert.Equal(Environment.ProcessId, processId);
    }

    // proc(5): real, effective, saved, and of the file system.
    private static long IdOf(string name) =>
        long.Parse(File.ReadLines("/proc/self/status").Single(line => line.StartsWith(name + ":", StringComparison.Ordinal)).Split('\t')[2]);
}
