using System.Net.Sockets;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>After both sides have ended, a descriptor that waits for its unread bytes to be read does not wait for ever.</summary>
[Collection(RunsAlone.Name)]
public class EndedDescriptorTests
{
    private const int Connections = 20;

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Dispose_AfterFinAndAbortNullWithUnreadBytes_ClosesTheDescriptor(TransportKind kind, bool unix) =>
        await AssertClosedAsync(kind, unix, async pair => await pair.Server.DisposeAsync().OrTimeout());

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task InputComplete_AfterFinAndAbortNullWithUnreadBytes_ClosesTheDescriptor(TransportKind kind, bool unix) =>
        await AssertClosedAsync(kind, unix, async pair => await pair.Input.CompleteAsync().OrTimeout());

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task ReadToEnd_AfterFinAndAbortNull_ClosesTheDescriptor(TransportKind kind, bool unix) =>
        await AssertClosedAsync(kind, unix, async pair => Assert.Equal(10, (await pair.Input.ReadToEndAsync()).Length));

    private static async Task AssertClosedAsync(TransportKind kind, bool unix, Func<ConnectionPair, Task> end)
    {
        await using ConnectionPair first = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        int before = CountSockets();
        var pairs = new List<ConnectionPair>();
        for (int i = 0; i < Connections; i++)
        {
            ConnectionPair pair = await first.CreateAnotherAsync();
            pairs.Add(pair);
            await pair.Client.SendAllAsync(new byte[10]);
            pair.Client.Shutdown(SocketShutdown.Send);
            await pair.Closed.OrTimeout();
            pair.Server.Abort(null!);
            Assert.Empty(await pair.Client.ReceiveToEndAsync());

            await end(pair);
        }

        // The clients' own are still open, so it is not their close that ends the server's.
        DateTime limit = DateTime.UtcNow + Timeouts.Limit;
        while (CountSockets() > before + Connections && DateTime.UtcNow < limit)
        {
            await Task.Delay(10);
        }

        Assert.InRange(CountSockets(), 0, before + Connections);
        foreach (ConnectionPair pair in pairs)
        {
            await pair.DisposeAsync();
        }
    }

    private static int CountSockets() => Directory.EnumerateFiles("/proc/self/fd").Count(IsSocket);

    private static bool IsSocket(string path)
    {
        try
        {
            return new FileInfo(path).LinkTarget?.StartsWith("socket:", StringComparison.Ordinal) ?? false;
        }
        catch (IOException)
        {
            // Closed meanwhile: the listing's own, for one.
            return false;
        }
    }
}
