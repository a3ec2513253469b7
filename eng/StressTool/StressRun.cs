using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace StressTool;

/// <summary>Starts servers and clients, lets them at each other, ends all of it, and looks for what was left behind.</summary>
internal sealed class StressRun(StressOptions options, Figures figures)
{
    private const int ClientLoops = 64;
    private const int ClientsPerShortListener = 8;

    private static readonly TimeSpan s_longestConnection = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_longestEnd = TimeSpan.FromSeconds(10);

    // With few workers what is posted may wait for one more of them, each 100 ms, as often as pieces block.
    private static readonly TimeSpan s_longestHandler = ContextLoad.Limit + s_longestEnd;

    private readonly TrackingMemoryPoolFactory _memory = new(figures);
    private int _connections;

    public async Task RunAsync()
    {
        var random = new Random(options.Seed);
        Transport transport = options.UseSockets
            ? Transport.CreateSockets(random, options.Scheduling, _memory, figures)
            : Transport.CreateEpoll(random, options.Scheduling, _memory, figures);

        string path = Path.Combine(Path.GetTempPath(), $"stress-{Environment.ProcessId}.sock");
        Server[] servers =
        [
            await Server.StartAsync(transport.Listeners, new IPEndPoint(IPAddress.Loopback, 0), figures),
            await Server.StartAsync(transport.Listeners, new UnixDomainSocketEndPoint(path), figures),
            .. Socket.OSSupportsIPv6 ? [await Server.StartAsync(transport.Listeners, new IPEndPoint(IPAddress.IPv6Loopback, 0), figures)] : Array.Empty<Server>(),
        ];

        long end = Stopwatch.GetTimestamp() + (long)(options.Seconds * Stopwatch.Frequency);
        bool Goes() => Stopwatch.GetTimestamp() < end && !figures.Failed;
        List<Task> clients = [];
        for (int i = 0; i < ClientLoops; i++)
        {
            clients.Add(Task.Run(async () =>
            {
                while (Goes())
                {
                    int number = Interlocked.Increment(ref _connections);
                    await ConnectAsync(transport, servers[number % servers.Length].EndPoint, number, mayFindNobody: false);
                }
            }));
        }

        clients.Add(Task.Run(async () =>
        {
            while (Goes())
            {
                await UseShortListenerAsync(transport);
            }
        }));

        await Task.WhenAll(clients);
        await EndAsync(servers, "unbinding", static server => server.UnbindAsync());
        await EndAsync(servers, "handlers", static server => server.HandlersEndedAsync(), s_longestHandler);
        await EndAsync(servers, "disposal of listeners", static server => server.DisposeListenerAsync().AsTask());
        await EndAsync([transport], "disposal of the transport", static t => t.DisposeAsync().AsTask());
        await figures.RequireSoonAsync(() => _memory.Outstanding == 0, () => $"{_memory.Outstanding} blocks of memory were not returned");
        await figures.RequireSoonAsync(() => _memory.OpenPools == 0, () => $"{_memory.OpenPools} memory pools were not disposed");
        if (File.Exists(path))
        {
            figures.Fail("the unix socket's file was left behind");
        }
    }

    private async Task EndAsync<T>(T[] items, string what, Func<T, Task> end, TimeSpan? limit = null)
    {
        try
        {
            await Task.WhenAll(items.Select(end)).WaitAsync(limit ?? s_longestEnd);
        }
        catch (Exception e)
        {
            figures.Fail($"{what}: {e}");
        }
    }

    /// <summary>A listener that goes while clients still come, and connections that outlive it.</summary>
    private async Task UseShortListenerAsync(Transport transport)
    {
        int number = Interlocked.Increment(ref _connections);
        var random = new Random(options.Seed ^ number);
        Server server = await Server.StartAsync(transport.Listeners, new IPEndPoint(IPAddress.Loopback, 0), figures);
        EndPoint endpoint = server.EndPoint;
        var clients = new List<Task>();
        for (int i = 0; i < ClientsPerShortListener; i++)
        {
            int client = Interlocked.Increment(ref _connections);
            clients.Add(Task.Run(() => ConnectAsync(transport, endpoint, client, mayFindNobody: true)));
        }

        await Task.Delay(random.Next(10));
        await EndAsync([server], "unbinding a short listener", static s => s.UnbindAsync());
        // The stock transport takes the memory pools of living connections away with their listener.
        if (!options.UseSockets && random.Next(2) == 0)
        {
            await server.DisposeListenerAsync();
        }

        await Task.WhenAll(clients);
        await EndAsync([server], "handlers of a short listener", static s => s.HandlersEndedAsync(), s_longestHandler);
        await server.DisposeListenerAsync();
        figures.Count("short listeners");
    }

    private async Task ConnectAsync(Transport transport, EndPoint endpoint, int number, bool mayFindNobody)
    {
        int seed = unchecked((options.Seed * 7919) + number);
        var random = new Random(seed);
        var plan = Plan.Create(random, options.UseSockets);
        var received = new ReceivedCount();
        try
        {
            await UseConnectionAsync(transport, endpoint, plan, random.Next(4), seed, received).WaitAsync(s_longestConnection);
        }
        catch (TimeoutException)
        {
            figures.Fail($"connection {number} to {endpoint} did not end within {s_longestConnection}: {plan}");
        }
        catch (Exception) when (mayFindNobody && received.Bytes == 0)
        {
            figures.Count("found nobody at a short listener");
        }
        catch (Exception e)
        {
            figures.Fail($"connection {number} to {endpoint}, {plan}: {e}");
        }
    }

    private async Task UseConnectionAsync(Transport transport, EndPoint endpoint, Plan plan, int kind, int seed, ReceivedCount received)
    {
        switch (kind)
        {
            case 0:
                figures.Count("clients: IConnectionFactory");
                ConnectionContext made = await transport.Connections.ConnectAsync(endpoint);
                await PipeClient.RunAsync(made, plan, seed, figures, received);
                break;
            case 1:
                figures.Count("clients: a socket put on the loops");
                ConnectionContext adopted = transport.Adopt(await RawClient.ConnectAsync(endpoint));
                await PipeClient.RunAsync(adopted, plan, seed, figures, received);
                break;
            default:
                figures.Count("clients: plain sockets");
                using (Socket socket = await RawClient.ConnectAsync(endpoint))
                {
                    await new RawClient(socket, plan, seed, figures, received).RunAsync();
                }

                break;
        }
    }
}
