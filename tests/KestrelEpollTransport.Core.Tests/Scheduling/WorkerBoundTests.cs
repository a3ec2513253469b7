using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>Application code that waits for another connection of the same transport, on more threads than there are workers.</summary>
[Collection(RunsAlone.Name)]
public class WorkerBoundTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(2, 3)]
    public async Task Connections_ThatBlockForOneThatComesLast_AreServed(int loops, int workers)
    {
        const int Blocking = 8;
        using TestTransport transport = new(options =>
        {
            options.Scheduling = ApplicationScheduling.Adaptive;
            options.LoopCount = loops;
            options.MaxWorkers = workers;
        });
        using ManualResetEventSlim last = new();
        using CountdownEvent blocked = new(Blocking);

        List<Socket> peers = [];
        List<Task> serving = [];
        try
        {
            for (int i = 0; i <= Blocking; i++)
            {
                ConnectionContext connection = transport.Connect(Wire.Tcp, out Socket peer);
                peers.Add(peer);
                serving.Add(ServeAsync(connection, i < Blocking ? Block : last.Set));
            }

            // One after the other, so that each meets what those before it have left.
            for (int i = 0; i < Blocking; i++)
            {
                int before = blocked.CurrentCount;
                peers[i].SendAll([1]);
                await Timeouts.UntilAsync(() => blocked.CurrentCount < before);
            }

            peers[Blocking].SendAll([1]);
            Assert.All(peers, peer => Assert.Equal(1, peer.ReceiveAll(new byte[1])));
        }
        finally
        {
            last.Set();
            peers.ForEach(static peer => peer.Dispose());
        }

        await Task.WhenAll(serving).OrTimeout();

        void Block()
        {
            blocked.Signal();
            last.Wait(Timeouts.Limit + Timeouts.Limit);
        }
    }

    private static async Task ServeAsync(ConnectionContext connection, Action act)
    {
        await using (connection.ConfigureAwait(false))
        {
            ReadResult result = await connection.Transport.Input.ReadAsync().ConfigureAwait(false);
            act();
            connection.Transport.Input.AdvanceTo(result.Buffer.End);
            await connection.Transport.Output.WriteAsync(new byte[1]).ConfigureAwait(false);
        }
    }
}
