using System.Net.Sockets;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>What happens to a connection that said FIN before its peer did. Counts descriptors and time, so alone.</summary>
[Collection(RunsAlone.Name)]
public class LingerListTests
{
    /// <summary>MaxReadBufferSize: what is received ahead, and what a lingering connection throws away.</summary>
    private const int Bound = 100_000;

    /// <summary>What is left unread in the kernel, but for a block that the reader may have had room for.</summary>
    private const int Rest = 20_000;

    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task CompletedConnection_WhosePeerThenEnds_IsClosed(Wire wire)
    {
        using TestTransport transport = Create();
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        await LeaveUnreadAsync(connection, peer, Bound);
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
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task CompletedConnection_WithNothingToLose_IsClosedAtOnce(Wire wire)
    {
        using TestTransport transport = Create();
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;

        long startMs = Environment.TickCount64;
        await connection.DisposeAsync().OrTimeout();
        await Timeouts.UntilAsync(() => transport.Load == 0);

        // The peer that writes on is told: at once on a unix socket, and by the answer to its first write on TCP.
        Assert.Equal(0, peer.Receive(new byte[1]));
        await Timeouts.UntilAsync(() => IsGone(peer));

        // A lingering connection is closed, too, but after 5 s.
        Assert.InRange(Environment.TickCount64 - startMs, 0, 4_000);
    }

    [Theory]
    [InlineData(Wire.Tcp, false)]
    [InlineData(Wire.Tcp, true)]
    [InlineData(Wire.Unix, false)]
    [InlineData(Wire.Unix, true)]
    public async Task UnreadInput_AtOurFin_CostsThePeerNeitherResponseNorEnd(Wire wire, bool sendsOn)
    {
        using TestTransport transport = Create();
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        await LeaveUnreadAsync(connection, peer, Bound);

        await connection.Transport.Output.WriteAsync("bye"u8.ToArray()).OrTimeout();
        await connection.DisposeAsync().OrTimeout();
        Assert.Equal(1, transport.Load);
        if (sendsOn)
        {
            await Task.Run(() => peer.SendAll(new byte[Bound - (2 * Rest)])).OrTimeout();
        }

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
        using TestTransport transport = Create();
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        await LeaveUnreadAsync(connection, peer, Bound);
        await connection.DisposeAsync().OrTimeout();
        Assert.Equal(1, transport.Load);

        byte[] upload = new byte[10_000];
        long sent = Rest;
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
        using TestTransport transport = Create();
        ConnectionContext connection = transport.Connect(Wire.Tcp, out Socket peer);
        using Socket _ = peer;
        await LeaveUnreadAsync(connection, peer, Bound);
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
        const int SmallBound = 2 * Rest;
        using TestTransport transport = new(options => options.MaxReadBufferSize = SmallBound);
        List<(ConnectionContext Connection, Socket Peer)> pairs = [];
        try
        {
            for (int i = 0; i < LingerList.Limit + Surplus; i++)
            {
                ConnectionContext connection = transport.Connect(Wire.Unix, out Socket peer);
                pairs.Add((connection, peer));
                await LeaveUnreadAsync(connection, peer, SmallBound);
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
        const int SmallBound = 2 * Rest;
        using TestTransport transport = new(options => options.MaxReadBufferSize = SmallBound);
        List<(ConnectionContext Connection, Socket Peer)> pairs = [];
        try
        {
            for (int i = 0; i < 3; i++)
            {
                ConnectionContext connection = transport.Connect(Wire.Unix, out Socket peer);
                pairs.Add((connection, peer));
                await LeaveUnreadAsync(connection, peer, SmallBound);
            }

            Assert.False(transport.Engine.TryCloseLingerer());
            foreach ((ConnectionContext connection, _) in pairs)
            {
                await connection.DisposeAsync().OrTimeout();
            }

            for (int closed = 1; closed <= pairs.Count; closed++)
            {
                Assert.True(transport.Engine.TryCloseLingerer());

                // At once, or by the loop that at this moment discards what was unread.
                await Timeouts.UntilAsync(() => transport.Load == pairs.Count - closed);
                Assert.True(IsGone(pairs[closed - 1].Peer));
            }

            Assert.False(transport.Engine.TryCloseLingerer());
        }
        finally
        {
            pairs.ForEach(pair => pair.Peer.Dispose());
        }
    }

    private static TestTransport Create() => new(options => options.MaxReadBufferSize = Bound);

    // The reader buffers as much as it may, which it does not receive more of however long the close takes; the kernel keeps the rest.
    private static async Task LeaveUnreadAsync(ConnectionContext connection, Socket peer, int bound)
    {
        await Task.Run(() => peer.SendAll(new byte[bound + Rest])).OrTimeout();
        await connection.Transport.Input.ReadAtLeastAsync(bound).OrTimeout();
        await Timeouts.UntilAsync(() => HasUnread((EpollConnection)connection));
    }

    private static bool HasUnread(EpollConnection connection)
    {
        Assert.True(connection.TryEnterDescriptor(out int descriptor));
        IoResult unread = SystemCalls.GetUnreadBytes(descriptor);
        connection.LeaveDescriptor();
        return unread.Value > 0;
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
