using System.Diagnostics;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Requests whose client goes away right behind them, as beacons and impatient clients do: the handler runs for every one.</summary>
public class RequestBehindFinTests
{
    private const int Clients = 20;

    /// <summary>Where the server waits for the request already, the race is a narrow one.</summary>
    private const int MoreClients = 60;

    private const string Get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    private int _handled;

    [Theory]
    [AllTransports(Wire.Tcp, 1), AllTransports(Wire.Tcp, 3), AllTransports(Wire.Tcp, 10)]
    [AllTransports(Wire.Unix, 1), AllTransports(Wire.Unix, 3), AllTransports(Wire.Unix, 10)]
    public async Task Requests_OnANewConnectionThenClose_AreAllHandled(TransportKind kind, Wire wire, int pipelined)
    {
        await using WireHost host = await WireHost.StartAsync(kind, HandleAsync);
        for (int i = 0; i < Clients; i++)
        {
            using Socket client = await host.ConnectAsync(wire);
            await client.SendAsync(Repeat(Get, pipelined));
        }

        await AssertHandledAsync(host, Clients, Clients * pipelined);
    }

    [Theory]
    [AllTransports(Wire.Tcp, false), AllTransports(Wire.Tcp, true), AllTransports(Wire.Unix, false), AllTransports(Wire.Unix, true)]
    public async Task Request_OnAWaitingConnectionThenClose_IsHandled(TransportKind kind, Wire wire, bool second)
    {
        await using WireHost host = await WireHost.StartAsync(kind, HandleAsync);
        for (int i = 0; i < MoreClients; i++)
        {
            using Socket client = await host.ConnectAsync(wire);
            if (second)
            {
                await client.SendAsync(Get);
                await HttpConnectionEndTests.ReceiveUntilAsync(client, "fine");
            }
            else
            {
                // Long enough for Kestrel to wait for the request.
                await Task.Delay(5);
            }

            await client.SendAsync(Get);
        }

        await AssertHandledAsync(host, MoreClients, second ? 2 * MoreClients : MoreClients);
    }

    /// <remarks>Whether there is an answer is a race that Kestrel decides: it aborts gracefully when it sees the FIN first.</remarks>
    [Theory]
    [AllTransports(Wire.Tcp, 1), AllTransports(Wire.Tcp, 10), AllTransports(Wire.Unix, 1), AllTransports(Wire.Unix, 10)]
    public async Task Requests_ThenHalfClose_AreAllHandledAndNoAnswerIsTorn(TransportKind kind, Wire wire, int pipelined)
    {
        double[] pausesMs = [0, 0.2, 1, 5];
        await using WireHost host = await WireHost.StartAsync(kind, HandleAsync);
        foreach (double pauseMs in Enumerable.Repeat(pausesMs, Clients / pausesMs.Length).SelectMany(x => x))
        {
            using Socket client = await host.ConnectAsync(wire);
            await client.SendAsync(Repeat(Get, pipelined));
            PauseShortly(pauseMs);
            client.Shutdown(SocketShutdown.Send);

            string answers = await client.ReceiveTextToEndAsync();
            Assert.Equal(answers.Split("HTTP/1.1 200").Length, answers.Split("fine").Length);
            Assert.True(answers.Length == 0 || answers.EndsWith("fine", StringComparison.Ordinal), answers);
        }

        await AssertHandledAsync(host, Clients, Clients * pipelined);
    }

    [Theory, AllTransports(Wire.Tcp), AllTransports(Wire.Unix)]
    public async Task Request_OverTlsThenClose_IsHandled(TransportKind kind, Wire wire)
    {
        await using WireHost host = await WireHost.StartAsync(kind, HandleAsync, KestrelHost.UseTls);
        for (int i = 0; i < MoreClients; i++)
        {
            await using Stream client = await ConnectWithTlsAsync(host, wire, SslApplicationProtocol.Http11);
            await client.WriteAsync(Encoding.ASCII.GetBytes(Get)).OrTimeout();
            // Nothing is left unread then: a close would be a reset.
            await ReadUntilAsync(client, "fine"u8.ToArray());
            await client.WriteAsync(Encoding.ASCII.GetBytes(Get)).OrTimeout();
        }

        await AssertHandledAsync(host, MoreClients, 2 * MoreClients);
    }

    /// <remarks>Not all: Kestrel drops the frames that it has not looked at when it is told of the end. Over Sockets it is one in a hundred.</remarks>
    [Theory]
    [AllTransports(Wire.Tcp, false), AllTransports(Wire.Tcp, true), AllTransports(Wire.Unix, false), AllTransports(Wire.Unix, true)]
    public async Task Request_OverHttp2ThenClose_IsAlmostAlwaysHandled(TransportKind kind, Wire wire, bool tls)
    {
        await using WireHost host = await WireHost.StartAsync(kind, HandleAsync, listen =>
        {
            listen.Protocols = HttpProtocols.Http2;
            if (tls)
            {
                KestrelHost.UseTls(listen);
            }
        });
        for (int i = 0; i < MoreClients; i++)
        {
            await using Stream client = tls ? await ConnectWithTlsAsync(host, wire, SslApplicationProtocol.Http2) : await ConnectAsync(host, wire);
            await client.WriteAsync(Http2.Start).OrTimeout();
            await ReadUntilAsync(client, Http2.SettingsAcknowledged);
            await client.WriteAsync(Http2.Get(tls)).OrTimeout();
        }

        await host.WaitForEndsAsync(MoreClients);
        Assert.InRange(Volatile.Read(ref _handled), MoreClients * 8 / 10, MoreClients);
        host.Host.AssertTransportWasCalm();
    }

    private static string Repeat(string text, int count) => string.Concat(Enumerable.Repeat(text, count));

    /// <summary>A timer is too coarse for the fraction of a millisecond that is meant here.</summary>
    private static void PauseShortly(double milliseconds)
    {
        long start = Stopwatch.GetTimestamp();
        SpinWait.SpinUntil(() => Stopwatch.GetElapsedTime(start).TotalMilliseconds >= milliseconds);
    }

    private static async Task<Stream> ConnectAsync(WireHost host, Wire wire) =>
        new NetworkStream(await host.ConnectAsync(wire), ownsSocket: true);

    private static async Task<Stream> ConnectWithTlsAsync(WireHost host, Wire wire, SslApplicationProtocol protocol)
    {
        var tls = new SslStream(await ConnectAsync(host, wire));
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            ApplicationProtocols = [protocol],
            RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate?.Subject == "CN=localhost",
        }).OrTimeout();
        return tls;
    }

    private static async Task ReadUntilAsync(Stream stream, byte[] end)
    {
        List<byte> read = [];
        byte[] one = new byte[1];
        while (read.Count < end.Length || !read[^end.Length..].SequenceEqual(end))
        {
            Assert.Equal(1, await stream.ReadAsync(one).OrTimeout());
            read.Add(one[0]);
        }
    }

    private Task HandleAsync(HttpContext context)
    {
        Interlocked.Increment(ref _handled);
        context.Response.ContentLength = 4;
        return context.Response.WriteAsync("fine");
    }

    private async Task AssertHandledAsync(WireHost host, int clients, int requests)
    {
        await host.WaitForEndsAsync(clients);
        Assert.Equal(requests, Volatile.Read(ref _handled));
        host.Host.AssertTransportWasCalm();
    }

    /// <summary>The few frames that a client needs to ask once.</summary>
    private static class Http2
    {
        /// <summary>Length (3), type, flags, stream: empty SETTINGS and its acknowledgement.</summary>
        public static readonly byte[] SettingsAcknowledged = [0, 0, 0, 4, 1, 0, 0, 0, 0];

        public static readonly byte[] Start = [.. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8, 0, 0, 0, 4, 0, 0, 0, 0, 0];

        /// <summary>The acknowledgement of the server's settings, then HEADERS on stream 1, which ends it: GET, the scheme, /, and "x" as the authority.</summary>
        public static byte[] Get(bool tls) =>
            [.. SettingsAcknowledged, 0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, (byte)(tls ? 0x87 : 0x86), 0x84, 0x41, 1, (byte)'x'];
    }
}
