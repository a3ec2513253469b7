using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>
/// A server in a process whose descriptors are limited, and clients of it that stay when it has closed their connections, one after the other:
/// more than there are descriptors for, if those were kept. It prints the longest time that one waited to be accepted, in milliseconds.
/// </summary>
internal static class LingeringServer
{
    public const string Command = "lingering";
    public const string Tcp = "tcp";
    public const string Unix = "unix";

    private const int Clients = 400;

    public static async Task RunAsync(TransportKind kind, string wire)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(wire == Unix ? Net.NewAbstractEndPoint() : Net.AnyLoopbackPort);
        var clients = new List<Socket>();
        double longestMs = 0;
        for (int i = 0; i < Clients; i++)
        {
            clients.Add(await Net.ConnectAsync(listener.EndPoint));
            long began = Stopwatch.GetTimestamp();
            ConnectionContext? accepted = await listener.AcceptAsync().OrTimeout();
            longestMs = Math.Max(longestMs, Stopwatch.GetElapsedTime(began).TotalMilliseconds);
            await accepted!.DisposeAsync().OrTimeout();
        }

        await Console.Out.WriteLineAsync(longestMs.ToString(CultureInfo.InvariantCulture));
        clients.ForEach(client => client.Dispose());
    }
}
