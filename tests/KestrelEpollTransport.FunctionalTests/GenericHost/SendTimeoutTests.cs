using System.Buffers;
using System.Net.Sockets;
using KestrelEpollTransport.FunctionalTests.ConnectionLimits;
using KestrelEpollTransport.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests.GenericHost;

/// <summary>How long a client has for what a handler left to be sent when it returned.</summary>
public class SendTimeoutTests
{
    private static readonly TimeSpan s_moment = TimeSpan.FromMilliseconds(1);

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Client_ThatTakesNothing_IsResetAfterTheTimeAndNotBefore(TransportKind kind, bool tls)
    {
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        var time = new ManualTime();
        await using ServerHost host = await ServerHost.StartAsync(
            kind,
            connections => (tls ? connections.UseTls(TlsTests.ServerOptions()) : connections).Run(connection =>
            {
                connection.Transport.Output.Write(data);
                return Task.CompletedTask;
            }),
            services => services.AddSingleton<TimeProvider>(time));
        using Socket late = await host.ConnectSlowAsync();
        using Socket never = await host.ConnectSlowAsync();
        await using Stream lateStream = await StreamOfAsync(late, tls);
        await using Stream neverStream = await StreamOfAsync(never, tls);
        byte[] first = new byte[1];
        await lateStream.ReadExactlyAsync(first).OrTimeout();
        await neverStream.ReadExactlyAsync(first).OrTimeout();

        // Those of the handshakes have ended: the handlers have written.
        await Net.UntilAsync(() => time.Running == 2);
        time.AdvanceDue(ServedConnection.SendTimeout - s_moment);

        byte[] rest = new byte[data.Length - 1];
        await lateStream.ReadExactlyAsync(rest).OrTimeout();
        Net.AssertSame(data, [data[0], .. rest]);
        Assert.Equal(0, await lateStream.ReadAsync(first).OrTimeout());
        await Net.UntilAsync(() => time.Running == 1);
        time.AdvanceDue(s_moment);

        await never.AssertResetAsync();
        await host.UntilAllAreDisposedAsync();
        host.AssertCalm();
    }

    private static async Task<Stream> StreamOfAsync(Socket socket, bool tls) =>
        tls ? await TlsTests.ConnectAsync(new NetworkStream(socket)) : new NetworkStream(socket);
}
