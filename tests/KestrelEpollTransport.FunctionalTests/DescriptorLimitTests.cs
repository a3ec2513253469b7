using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>
/// The server runs out of descriptors while clients keep coming: it waits instead of spinning, leaves the runtime some, and takes
/// the clients when it can. In a process of its own, whose limit is lowered before the runtime starts.
/// </summary>
[Collection(RunsAlone.Name)]
public class DescriptorLimitTests
{
    private const int Limit = 600;
    private const int Clients = 800;
    private const int Changes = 48;
    private const int UsedByTheRuntime = 8;

    [Theory, EpollTransports("at the limit Sockets spins: 10,000 log lines and 753 ms CPU a second")]
    public async Task Accept_AtTheDescriptorLimit_NeitherSpinsNorDies(TransportKind kind)
    {
        using Process server = Start(DescriptorLimitServer.Command, kind.ToString());
        var clients = new List<Socket>();
        try
        {
            int port = int.Parse(await ReadLineAsync(server), CultureInfo.InvariantCulture);
            var endpoint = new IPEndPoint(IPAddress.Loopback, port);
            await AssertEchoAsync(endpoint);
            // Everything that measuring needs is loaded before there is no descriptor left to load it with.
            await MeasureAsync(server);

            for (int i = 0; i < Clients; i++)
            {
                clients.Add(await Net.ConnectAsync(endpoint));
            }

            await MeasureAsync(server);
            (double cpuPercent, double linesPerSecond, int accepted, int descriptorsLeft) = await MeasureAsync(server);
            Assert.InRange(accepted, 100, Clients - 1);
            Assert.InRange(linesPerSecond, 0, 10);
            Assert.InRange(cpuPercent, 0, 15);

            // 600 / 32 = 18 are kept free.
            Assert.Equal(DescriptorLimitServer.MostCounted, descriptorsLeft);

            // Nor do they go one by one, as clients leave and others take their places; not quite as many, where the runtime has
            // used some of those that were kept free for it.
            for (int i = 0; i < Changes; i++)
            {
                clients[i].Dispose();
                if (i >= UsedByTheRuntime)
                {
                    await AssertEchoAsync(clients[accepted + i - UsedByTheRuntime]);
                }
            }

            Assert.Equal(DescriptorLimitServer.MostCounted, (await MeasureAsync(server)).DescriptorsLeft);

            // Those that were taken leave; those that wait in the kernel's queue must now be served.
            clients.Take(accepted).ToList().ForEach(c => c.Dispose());
            foreach (Socket waiting in clients.Skip(accepted))
            {
                await AssertEchoAsync(waiting);
            }

            await AssertEchoAsync(endpoint);
        }
        finally
        {
            clients.ForEach(c => c.Dispose());
            server.StandardInput.Close();
            if (!server.WaitForExit(Timeouts.Limit))
            {
                server.Kill();
            }
        }

        Assert.Equal(0, server.ExitCode);
    }

    [Theory, AllTransports(LingeringServer.Tcp), AllTransports(LingeringServer.Unix)]
    public async Task Accept_BesideConnectionsThatLinger_DoesNotWaitForTheirTime(TransportKind kind, string wire)
    {
        using Process server = Start(LingeringServer.Command, kind.ToString(), wire);
        try
        {
            double longestWaitMs = double.Parse(await ReadLineAsync(server), CultureInfo.InvariantCulture);

            // A connection lingers for 5 s.
            Assert.InRange(longestWaitMs, 0, 3_000);
            Assert.True(server.WaitForExit(Timeouts.Limit));
            Assert.Equal(0, server.ExitCode);
        }
        finally
        {
            server.Kill();
        }
    }

    private static Process Start(params string[] command)
    {
        string dotnet = Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? Environment.ProcessPath! : "dotnet";
        // The shell lowers both limits; the runtime would raise a soft one to the hard one again.
        var start = new ProcessStartInfo("/bin/sh")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            ArgumentList =
            {
                "-c", $"ulimit -n {Limit}; exec \"$0\" exec \"$@\"",
                dotnet, typeof(DescriptorLimitTests).Assembly.Location,
            },
        };
        Array.ForEach(command, start.ArgumentList.Add);
        return Process.Start(start)!;
    }

    private static async Task<(double CpuPercent, double LinesPerSecond, int Accepted, int DescriptorsLeft)> MeasureAsync(Process server)
    {
        await server.StandardInput.WriteLineAsync("measure").OrTimeout();
        await server.StandardInput.FlushAsync().OrTimeout();
        string[] parts = (await ReadLineAsync(server)).Split(' ');
        return (
            double.Parse(parts[0], CultureInfo.InvariantCulture),
            double.Parse(parts[1], CultureInfo.InvariantCulture),
            int.Parse(parts[2], CultureInfo.InvariantCulture) - 1,
            int.Parse(parts[3], CultureInfo.InvariantCulture));
    }

    private static async Task<string> ReadLineAsync(Process server)
    {
        string? line = await server.StandardOutput.ReadLineAsync().OrTimeout();
        Assert.True(line is not null, "The server has ended.");
        return line;
    }

    private static async Task AssertEchoAsync(IPEndPoint endpoint)
    {
        using Socket client = await Net.ConnectAsync(endpoint);
        await AssertEchoAsync(client);
    }

    private static async Task AssertEchoAsync(Socket client)
    {
        await client.SendAsync("ping");
        Assert.Equal("ping", await client.ReceiveTextAsync(4));
    }
}
