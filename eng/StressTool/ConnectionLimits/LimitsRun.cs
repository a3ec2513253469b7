using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace StressTool.ConnectionLimits;

/// <summary>
/// How well limits of connections are kept, as clients see it: when connections end by their age and their idle time, and how many of a burst are
/// let in. The seconds that are asked for are the age and the idle time.
/// </summary>
internal sealed class LimitsRun(StressOptions options, Figures figures)
{
    private const int Connections = 500;
    private const int Burst = 2_000;
    private const int BurstAddresses = 4;

    // Of the warm-up's, code that is compiled is a good part.
    private static readonly TimeSpan s_leastJudged = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(50);
    private static readonly byte[] s_request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"u8.ToArray();

    public async Task RunAsync()
    {
        var time = TimeSpan.FromSeconds(options.Seconds);
        await using LimitsServer server = await LimitsServer.StartAsync(options, time);
        await BurstAsync(server.Address);
        await Task.WhenAll(
            TimeAsync("age, a request each 50 ms", time, server.Age, 0.9, 1.1, s_pause),
            TimeAsync("age, one request", time, server.Age, 0.9, 1.1, Timeout.InfiniteTimeSpan),
            TimeAsync("age ± 10 %, a request each 50 ms", time, server.AgeWithJitter, 0.8, 1.2, s_pause),
            TimeAsync("idle", time, server.Idle, 0.9, 1.1, pause: null));
    }

    /// <summary>Whom the last word came to when: connections that end, in shares of the time that they have.</summary>
    /// <param name="pause">Between requests; null: the client says nothing.</param>
    private async Task TimeAsync(string what, TimeSpan time, EndPoint server, double least, double most, TimeSpan? pause)
    {
        double[] shares = await Task.WhenAll(Enumerable.Range(0, Connections).Select(_ => Task.Run(async () => await LifeAsync(server, pause) / time)));
        Array.Sort(shares);
        figures.Tell($"{what}: of {time.TotalSeconds} s", string.Create(
            CultureInfo.InvariantCulture, $"{100 * shares[shares.Length / 2]:f1} % ({100 * shares[0]:f1}..{100 * shares[^1]:f1})"));
        if (time >= s_leastJudged && (shares[0] < least || shares[^1] > most))
        {
            figures.Fail($"{what}: ended between {shares[0]:p1} and {shares[^1]:p1} of the time");
        }
    }

    private static async Task<TimeSpan> LifeAsync(EndPoint server, TimeSpan? pause)
    {
        using Socket socket = await RawClient.ConnectAsync(server);
        long began = Stopwatch.GetTimestamp();
        byte[] buffer = new byte[1024];
        using var ended = new CancellationTokenSource();
        Task asking = pause is { } gap ? AskAsync(socket, gap, ended.Token) : Task.CompletedTask;
        try
        {
            while (await socket.ReceiveAsync(buffer) != 0)
            {
            }
        }
        catch (SocketException)
        {
            // A request was on its way when it ended.
        }

        TimeSpan life = Stopwatch.GetElapsedTime(began);
        await ended.CancelAsync();
        await asking;
        return life;
    }

    private static async Task AskAsync(Socket socket, TimeSpan pause, CancellationToken ended)
    {
        try
        {
            while (true)
            {
                await socket.SendAsync(s_request, ended);
                await Task.Delay(pause, ended);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException)
        {
            // The other side has ended, which who receives finds out.
        }
    }

    /// <summary>Everybody at once, from a few addresses, and nobody leaves before all know.</summary>
    private async Task BurstAsync(EndPoint server)
    {
        Socket[] sockets = new Socket[Burst];
        try
        {
            bool[] served = await Task.WhenAll(Enumerable.Range(0, Burst).Select(i => Task.Run(async () =>
            {
                sockets[i] = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                sockets[i].Bind(new IPEndPoint(IPAddress.Parse($"127.0.3.{1 + (i % BurstAddresses)}"), 0));
                return await IsServedAsync(sockets[i], server);
            })));
            for (int address = 0; address < BurstAddresses; address++)
            {
                int letIn = served.Where((_, i) => i % BurstAddresses == address).Count(static isServed => isServed);
                figures.Tell($"burst of {Burst / BurstAddresses} of address {address + 1}: let in", $"{letIn}");
                if (letIn != LimitsServer.MostPerAddress)
                {
                    figures.Fail($"{letIn} connections of an address were let in, and not {LimitsServer.MostPerAddress}");
                }
            }
        }
        finally
        {
            Array.ForEach(sockets, static socket => socket?.Dispose());
        }
    }

    private static async Task<bool> IsServedAsync(Socket socket, EndPoint server)
    {
        try
        {
            await socket.ConnectAsync(server);
            await socket.SendAsync(s_request);
            byte[] buffer = new byte[1024];
            return Encoding.ASCII.GetString(buffer, 0, await socket.ReceiveAsync(buffer)).StartsWith("HTTP/1.1 200", StringComparison.Ordinal);
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
