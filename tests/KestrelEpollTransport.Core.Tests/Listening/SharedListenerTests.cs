using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Loops;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Listening;

/// <summary>A listener of several loops, over pollers that share it and over such that don't: who wakes, and who gets the connections.</summary>
public abstract class SharedListenerTests
{
    private const int Loops = 4;
    private const int Clients = 60;

    private readonly PollerBackend _backend;

    private protected SharedListenerTests(PollerBackend backend) => _backend = backend;

    [Fact]
    public async Task Connections_OneAfterTheOther_WakeFewLoopsAndSpreadOverAll()
    {
        List<CountingPoller> pollers = [];
        using TestTransport transport = new(options => options.LoopCount = Loops, () =>
        {
            CountingPoller poller = new(_backend.Create());
            pollers.Add(poller);
            return poller;
        });
        EpollListener listener = EpollListener.Bind(transport.Engine, new IPEndPoint(IPAddress.Loopback, 0));
        List<ConnectionContext> accepted = [];
        try
        {
            for (int i = 0; i < Clients; i++)
            {
                using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                await client.ConnectAsync(listener.EndPoint).OrTimeout();
                accepted.Add((await listener.AcceptAsync().OrTimeout())!);
            }

            Assert.Equal(pollers[0].SharesListeners ? Loops : 1, pollers.Count(poller => poller.HasListener));
            // A loop takes up to four connections a wake: the next one may come in time for the last one's.
            Assert.InRange(pollers.Sum(poller => poller.Told), Clients / 4, 2 * Clients);
            foreach (EventLoop loop in transport.Engine.Loops.Started)
            {
                Assert.InRange(loop.Load, Clients / Loops / 2, Clients / Loops * 2);
            }
        }
        finally
        {
            await listener.UnbindAsync().OrTimeout();
            accepted.ForEach(connection => connection.Abort());
        }
    }

    [Fact]
    public async Task Listeners_WhereOneLoopAcceptsEach_TakeDifferentLoops()
    {
        List<CountingPoller> pollers = [];
        using TestTransport transport = new(options => options.LoopCount = Loops, () =>
        {
            CountingPoller poller = new(_backend.Create());
            pollers.Add(poller);
            return poller;
        });
        List<EpollListener> listeners = [];
        for (int i = 0; i < Loops; i++)
        {
            listeners.Add(EpollListener.Bind(transport.Engine, new IPEndPoint(IPAddress.Loopback, 0)));
        }

        Assert.All(pollers, poller => Assert.True(poller.HasListener));
        foreach (EpollListener listener in listeners)
        {
            await listener.UnbindAsync().OrTimeout();
        }
    }
}

[Collection(RunsAlone.Name)]
public sealed class SystemSharedListenerTests() : SharedListenerTests(PollerBackend.System);
