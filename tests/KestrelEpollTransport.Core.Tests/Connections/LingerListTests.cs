using System.Net.Sockets;
using KestrelEpollTransport.Connections;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>What happens to a connection that said FIN before its peer did. Counts descriptors and time, so alone.</summary>
[Collection(RunsAlone.Name)]
public class LingerListTests
{
    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task CompletedConnection_WhosePeerThenEnds_IsClosed(Wire wire)
    {
        using TestTransport transport = new();
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        int whileOpen = Descriptors.CountSettled();

        await connection.Transport.Output.CompleteAsync().OrTimeout();
        Assert.Equal(0, peer.Receive(new byte[1]));
        Assert.Equal(1, transport.Load);
        peer.Shutdown(SocketShutdown.Send);

        await Timeouts.UntilAsync(() => transport.Load == 0);
        await Timeouts.UntilAsync(() => Descriptors.Count() < whileOpen);
        await connection.DisposeAsync().OrTimeout();
    }

    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task CompletedConnection_WhosePeerHadEnded_IsClosedAtOnce(Wire wire)
    {
        using TestTransport transport = new();
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        peer.Shutdown(SocketShutdown.Send);
        Assert.True((await connection.Transport.Input.ReadAsync().OrTimeout()).IsCompleted);
        Assert.Equal(1, transport.Load);

        await connection.DisposeAsync().OrTimeout();

        Assert.Equal(0, transport.Load);
        Assert.Equal(0, peer.Receive(new byte[1]));
    }

    [Theory]
    [InlineData(Wire.Tcp, false)]
    [InlineData(Wire.Tcp, true)]
    [InlineData(Wire.Unix, false)]
    [InlineData(Wire.Unix, true)]
    public async Task PeerThatSendsOn_AfterOurFin_SeesResponseAndEndAndNoReset(Wire wire, bool sendsBeforeToo)
    {
        byte[] upload = new byte[500_000];
        using TestTransport transport = new();
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        if (sendsBeforeToo)
        {
            peer.SendAll(upload.AsSpan(0, 50_000));
        }

        await connection.Transport.Output.WriteAsync("bye"u8.ToArray()).OrTimeout();
        await connection.DisposeAsync().OrTimeout();
        await Task.Run(() => peer.SendAll(upload)).OrTimeout();
        peer.Shutdown(SocketShutdown.Send);
        await Timeouts.UntilAsync(() => transport.Load == 0);

        byte[] received = new byte[10];
        Assert.Equal(3, peer.ReceiveAll(received));
        Assert.Equal("bye"u8.ToArray(), received[..3]);
        await transport.Pool.AssertAllReturnedAsync();
    }

    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task PeerThatSendsWithoutEnd_AfterOurFin_IsCutOff(Wire wire)
    {
        const int Bound = 100_000;
        using TestTransport transport = new(options => options.MaxReadBufferSize = Bound);
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        await connection.DisposeAsync().OrTimeout();
        Assert.Equal(1, transport.Load);

        byte[] upload = new byte[10_000];
        long sent = 0;
        void SendForEver()
        {
            while (true)
            {
                sent += peer.Send(upload);
            }
        }

        // Which error the peer's blocking send gets depends on whether it slept when the reset came: not ours to say.
        long startMs = Environment.TickCount64;
        await Task.Run(() => Assert.Throws<SocketException>(SendForEver)).OrTimeout();

        // By the number of bytes, that is, and not by the time, which is 5 s.
        Assert.InRange(Environment.TickCount64 - startMs, 0, 4_000);
        Assert.InRange(sent, Bound, long.MaxValue);
        await Timeouts.UntilAsync(() => transport.Load == 0);
    }

    [Fact]
    public async Task LingeringConnection_WhosePeerStaysSilent_IsClosedAfterItsTime()
    {
        using TestTransport transport = new();
        ConnectionContext connection = transport.Connect(Wire.Tcp, out Socket peer);
        using Socket _ = peer;
        long startMs = Environment.TickCount64;
        await connection.DisposeAsync().OrTimeout();
        Assert.Equal(1, transport.Load);

        await Timeouts.UntilAsync(() => transport.Load == 0);

        Assert.InRange(Environment.TickCount64 - startMs, 4_900, 15_000);
    }

    [Fact]
    public async Task LingeringConnections_MoreThanTheLimit_LoseTheOldest()
    {
        const int Surplus = 76;
        using TestTransport transport = new();
        List<(ConnectionContext Connection, Socket Peer)> pairs = [];
        try
        {
            for (int i = 0; i < LingerList.Limit + Surplus; i++)
            {
                ConnectionContext connection = transport.Connect(Wire.Unix, out Socket peer);
                pairs.Add((connection, peer));
            }

            Assert.Equal(LingerList.Limit + Surplus, transport.Load);
            foreach ((ConnectionContext connection, Socket peer) in pairs)
            {
                await connection.DisposeAsync().OrTimeout();
            }

            Assert.Equal(LingerList.Limit, transport.Load);
            for (int i = 0; i < pairs.Count; i++)
            {
                Assert.Equal(i < Surplus, IsGone(pairs[i].Peer));
            }
        }
        finally
        {
            pairs.ForEach(pair => pair.Peer.Dispose());
        }

        await Timeouts.UntilAsync(() => transport.Load == 0);
    }

    [Fact]
    public async Task CloseOldest_OfThoseThatLinger_ClosesTheOldestAndThenSaysThatThereIsNone()
    {
        using TestTransport transport = new();
        List<(ConnectionContext Connection, Socket Peer)> pairs = [];
        try
        {
            for (int i = 0; i < 3; i++)
            {
                ConnectionContext connection = transport.Connect(Wire.Unix, out Socket peer);
                pairs.Add((connection, peer));
            }

            Assert.False(transport.Engine.TryCloseLingerer());
            foreach ((ConnectionContext connection, _) in pairs)
            {
                await connection.DisposeAsync().OrTimeout();
            }

            for (int closed = 1; closed <= pairs.Count; closed++)
            {
                Assert.True(transport.Engine.TryCloseLingerer());
                Assert.Equal(pairs.Count - closed, transport.Load);
                Assert.True(IsGone(pairs[closed - 1].Peer));
            }

            Assert.False(transport.Engine.TryCloseLingerer());
        }
        finally
        {
            pairs.ForEach(pair => pair.Peer.Dispose());
        }
    }

    // Sending to a closed unix socket fails at once, unix(7).
    private static bool IsGone(Socket peer)
    {
        try
        {
            peer.Send([1]);
            return false;
        }
        catch (SocketException error) when (error.SocketErrorCode is SocketError.Shutdown or SocketError.ConnectionReset)
        {
            return true;
        }
    }
}
