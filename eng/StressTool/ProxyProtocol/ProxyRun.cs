using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace StressTool.ProxyProtocol;

/// <summary>
/// The PROXY protocol over real connections: headers that are valid, spoilt or missing, whole and in pieces, from sources that are trusted and
/// not, in all modes, with and without requests behind, and clients that leave at any moment. A server for a few seconds at a time, each with
/// options of its own.
/// </summary>
internal sealed class ProxyRun(StressOptions options, Figures figures)
{
    private const int ClientLoops = 192;

    private static readonly TimeSpan s_serverTime = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_longestConnection = TimeSpan.FromSeconds(30);

    private readonly TrackingMemoryPoolFactory _memory = new(figures);
    private int _connections;

    public async Task RunAsync()
    {
        var random = new Random(options.Seed);
        long end = Stopwatch.GetTimestamp() + (long)(options.Seconds * Stopwatch.Frequency);
        while (Stopwatch.GetTimestamp() < end && !figures.Failed)
        {
            await RunServerAsync(random, Math.Min(end, Stopwatch.GetTimestamp() + (long)(s_serverTime.TotalSeconds * Stopwatch.Frequency)));
        }
    }

    private async Task RunServerAsync(Random random, long end)
    {
        figures.Count("servers");
        await using (ProxyServer server = await ProxyServer.StartAsync(options, random, _memory, figures))
        {
            await Task.WhenAll(Enumerable.Range(0, ClientLoops).Select(_ => Task.Run(async () =>
            {
                while (Stopwatch.GetTimestamp() < end && !figures.Failed)
                {
                    await ConnectAsync(server, Interlocked.Increment(ref _connections));
                }
            })));
            await figures.RequireSoonAsync(() => server.Open == 0, () => $"{server.Open} connections did not end");
        }

        await figures.RequireSoonAsync(() => _memory.Outstanding == 0, () => $"{_memory.Outstanding} blocks of memory were not returned");
        await figures.RequireSoonAsync(() => _memory.OpenPools == 0, () => $"{_memory.OpenPools} memory pools were not disposed");
    }

    private async Task ConnectAsync(ProxyServer server, int number)
    {
        var random = new Random(unchecked((options.Seed * 7919) + number));
        ProxyPlan plan = ProxyPlan.Create(random);
        try
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            socket.Bind(new IPEndPoint(Source(plan, random), 0));
            var endPoint = new IPEndPoint(IPAddress.Loopback, server.PortOf(plan.Mode));
            await new ProxyClient(socket, plan, random, figures).RunAsync(endPoint).WaitAsync(s_longestConnection);
        }
        catch (TimeoutException)
        {
            figures.Fail($"connection {number} did not end within {s_longestConnection}: {plan}");
        }
        catch (Exception e)
        {
            figures.Fail($"connection {number}, {plan}: {e}");
        }
    }

    // A different one nearly each time: ports would run out with connections that have ended and are remembered.
    private static IPAddress Source(ProxyPlan plan, Random random)
    {
        byte[] address = ProxyServer.Trusted.BaseAddress.GetAddressBytes();
        address[1] += (byte)(plan.IsTrusted ? 0 : 1);
        address[2] = (byte)random.Next(256);
        address[3] = (byte)random.Next(1, 255);
        return new IPAddress(address);
    }
}
