using System.Net.Sockets;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Loops;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Diagnostics;

/// <summary>What the figures of a transport leave out.</summary>
public class TransportFiguresTests
{
    [Fact]
    public async Task Loop_ThatHasEnded_IsNotAmongThem()
    {
        using TestTransport transport = new();
        ConnectionContext connection = transport.Connect(Wire.Tcp, out Socket peer);
        TransportFigures figures = new(transport.Engine, new ConnectionTotals(), workers: null);
        int[] before = Array.ConvertAll(figures.GetLoops(), static loop => loop.Index);
        EventLoop ended = ((EpollConnection)connection).Loop;
        Assert.Contains(ended.Index, before);

        await connection.DisposeAsync().OrTimeout();
        ended.Stop();
        Assert.True(ended.WaitForEnd(Timeouts.Limit));

        Assert.Equal(before.Except([ended.Index]), Array.ConvertAll(figures.GetLoops(), static loop => loop.Index));
        peer.Dispose();
    }
}
