using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests.GenericHost;

/// <summary>Clients that break TLS, behind the handshake or in it: no more than lines at Debug, whatever the handler does about it.</summary>
public class TlsFaultTests
{
    private static readonly Dictionary<string, byte[]> s_faults = new()
    {
        // RFC 5246, 6.2.1: the type, the version, the length.
        ["a header that is cut short"] = [23, 3, 3],
        ["a record that is cut short"] = [23, 3, 3, 0, 40, .. new byte[20]],
        ["a record that can't be decrypted"] = [23, 3, 3, 0, 40, .. new byte[40]],
        ["a record that is too long"] = [23, 3, 3, 255, 255, 1],
        ["an alert in plain"] = [21, 3, 3, 0, 2, 2, 80],
        ["a handshake in plain"] = [22, 3, 3, 0, 4, 1, 0, 0, 0],
        ["another protocol"] = [.. "GET / HTTP/1.1\r\n\r\n"u8],
        ["no close_notify"] = [],
    };

    /// <summary>What the handler does when its read fails.</summary>
    public enum Handler
    {
        Throws,
        Returns,
        Writes,
    }

    /// <summary>What a middleware below TLS fails in.</summary>
    public enum Below
    {
        Handshake,
        Read,
        Flush,
        LastFlush,
    }

    [Theory]
    [AllTransports(Handler.Throws), AllTransports(Handler.Returns), AllTransports(Handler.Writes)]
    public async Task Fault_OfAClientBehindTheHandshake_IsNoError(TransportKind kind, Handler handler)
    {
        await using ServerHost host = await StartAsync(kind, connection => HandleAsync(connection, handler));
        foreach (SslProtocols protocol in (SslProtocols[])[SslProtocols.Tls12, SslProtocols.Tls13])
        {
            foreach (byte[] fault in s_faults.Values)
            {
                using Socket socket = await host.ConnectAsync();
                using SslStream client = await ConnectAsync(socket, protocol);
                await client.ReadExactlyAsync(new byte[1]).OrTimeout();

                await socket.SendAsync(fault).OrTimeout();
                socket.Shutdown(SocketShutdown.Send);

                await ReadToEndAsync(socket);
            }
        }

        await host.UntilAllAreDisposedAsync();
        host.AssertCalm();
    }

    [Theory]
    [AllTransports(false), AllTransports(true)]
    public async Task Handshake_ThatAClientBreaksOff_IsNoError(TransportKind kind, bool resets)
    {
        await using ServerHost host = await StartAsync(kind, static _ => throw new InvalidOperationException("There was no handshake."));
        using Socket socket = await host.ConnectAsync();
        await socket.SendAsync(new byte[] { 22, 3, 1, 2, 0, 1 }).OrTimeout();

        if (resets)
        {
            socket.Reset();
        }
        else
        {
            socket.Shutdown(SocketShutdown.Send);
            await ReadToEndAsync(socket);
        }

        await host.Logs.WaitForAsync(static e => e.Category == ServerHost.TlsCategory && e.Id == 70).OrTimeout();
        await host.UntilAllAreDisposedAsync();
        host.AssertCalm();
    }

    [Theory, AllTransports]
    public async Task Fault_OfTheHandler_IsAnError(TransportKind kind)
    {
        IDuplexPipe? below = null;
        await using ServerHost host = await ServerHost.StartAsync(kind, connections => connections
            .Use(next => connection =>
            {
                below = connection.Transport;
                return next(connection);
            })
            .UseTls(ServerOptions())
            .Run(connection =>
            {
                // TLS puts what this makes its reads throw into an IOException, as it does with the client's faults.
                below!.Input.Complete();
                return connection.Transport.Input.ReadAsync().AsTask();
            }));
        using Socket socket = await host.ConnectAsync();
        using SslStream client = await ConnectAsync(socket, SslProtocols.Tls13);

        await host.Logs.WaitForAsync(static e => e.Category == ServerHost.Category && e.Id == 63).OrTimeout();
    }

    [Theory]
    [AllTransports(Below.Handshake), AllTransports(Below.Read), AllTransports(Below.Flush), AllTransports(Below.LastFlush)]
    public async Task Fault_OfAMiddlewareBelow_IsAnError(TransportKind kind, Below at)
    {
        HookedPipe? below = null;
        await using ServerHost host = await ServerHost.StartAsync(kind, connections => HookedPipe
            .AddTo(connections, pipe =>
            {
                below = pipe;
                pipe.OnRead = at == Below.Handshake ? Fail : null;
            })
            .UseTls(ServerOptions())
            .Run(async connection =>
            {
                below!.OnRead = below.OnFlush = Fail;
                connection.Transport.Output.Write(new byte[1]);
                if (at == Below.Read)
                {
                    await connection.Transport.Input.ReadAsync();
                }
                else if (at == Below.Flush)
                {
                    await connection.Transport.Output.FlushAsync();
                }
            }));
        using Socket socket = await host.ConnectAsync();
        if (at != Below.Handshake)
        {
            await using SslStream client = await ConnectAsync(socket, SslProtocols.Tls13);
        }

        LogEntry error = await host.Logs.WaitForAsync(static e => e.Category == ServerHost.Category && e.Id == 63).OrTimeout();

        Assert.IsType<IOException>(error.Exception);

        static void Fail() => throw new IOException("No space left on device");
    }

    private static async Task HandleAsync(ConnectionContext connection, Handler handler)
    {
        await connection.Transport.Output.WriteAsync(new byte[1]);
        try
        {
            while (!(await connection.Transport.Input.ReadAsync()).IsCompleted)
            {
            }
        }
        catch (IOException) when (handler != Handler.Throws)
        {
            // As a handler that reads lines, and takes whatever goes wrong for the end.
        }

        if (handler == Handler.Writes)
        {
            await connection.Transport.Output.WriteAsync(new byte[100]);
        }
    }

    private static async Task ReadToEndAsync(Socket socket)
    {
        try
        {
            await socket.ReceiveToEndAsync();
        }
        catch (SocketException)
        {
            // A server may well reset who behaves like that.
        }
    }

    private static SslServerAuthenticationOptions ServerOptions() => new() { ServerCertificate = KestrelHost.Certificate };

    private static Task<ServerHost> StartAsync(TransportKind kind, ConnectionDelegate handler) =>
        ServerHost.StartAsync(kind, connections => connections.UseTls(ServerOptions()).Run(handler.Invoke));

    private static async Task<SslStream> ConnectAsync(Socket socket, SslProtocols protocol)
    {
        var client = new SslStream(new NetworkStream(socket));
        await client.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            EnabledSslProtocols = protocol,
            RemoteCertificateValidationCallback = KestrelHost.IsTrusted,
        }).OrTimeout();
        return client;
    }
}
