using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests.GenericHost;

/// <summary>A flush over TLS that is cancelled or left behind while its client takes nothing: a part of it is encrypted, and on its way.</summary>
public class TlsFlushTests
{
    /// <summary>How a flush is cancelled.</summary>
    public enum Cancel
    {
        /// <summary>By the token of <see cref="PipeWriter.FlushAsync"/>.</summary>
        Flush,

        /// <summary>By the token of <see cref="PipeWriter.WriteAsync"/>.</summary>
        Write,

        /// <summary>By <see cref="PipeWriter.CancelPendingFlush"/>.</summary>
        Pending,
    }

    [Theory]
    [AllTransports(Cancel.Flush)]
    [AllTransports(Cancel.Write)]
    [AllTransports(Cancel.Pending)]
    public async Task CancelledFlush_AndAnother_SendAllOnceAndInOrder(TransportKind kind, Cancel by)
    {
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        using var cancel = new CancellationTokenSource();
        var cancelled = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        PipeWriter? output = null;
        await using ServerHost host = await StartAsync(kind, async connection =>
        {
            output = connection.Transport.Output;
            cancelled.SetResult(await WriteAsync(output, data, by, cancel.Token));
            await output.WriteTextAsync("end");
        });
        using Socket socket = await host.ConnectSlowAsync();
        await using SslStream client = await TlsTests.ConnectAsync(new NetworkStream(socket));
        byte[] received = new byte[data.Length];
        await client.ReadExactlyAsync(received, 0, 1).OrTimeout();

        if (by == Cancel.Pending)
        {
            output!.CancelPendingFlush();
        }
        else
        {
            await cancel.CancelAsync();
        }

        Assert.True(await cancelled.Task.OrTimeout());
        await client.ReadExactlyAsync(received, 1, data.Length - 1).OrTimeout();
        Net.AssertSame(data, received);
        Assert.Equal(3, await client.ReadAtLeastAsync(received.AsMemory(0, 4), 4, throwOnEndOfStream: false).OrTimeout());
        Assert.Equal("end"u8, received.AsSpan(0, 3));
        host.AssertCalm();
    }

    [Theory, AllTransports]
    public async Task CancelPendingFlush_WithNonePending_CancelsTheNextOnceAndLosesNothing(TransportKind kind)
    {
        var cancelled = new TaskCompletionSource<(bool First, bool Second)>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ServerHost host = await StartAsync(kind, async connection =>
        {
            PipeWriter output = connection.Transport.Output;
            output.CancelPendingFlush();
            bool first = (await output.WriteAsync("a"u8.ToArray())).IsCanceled;
            cancelled.SetResult((first, (await output.WriteAsync("b"u8.ToArray())).IsCanceled));
        });
        await using SslStream client = await TlsTests.ConnectAsync(new NetworkStream(await host.ConnectAsync(), ownsSocket: true));

        byte[] received = new byte[3];
        Assert.Equal(2, await client.ReadAtLeastAsync(received, 3, throwOnEndOfStream: false).OrTimeout());
        Assert.Equal("ab"u8, received.AsSpan(0, 2));
        Assert.Equal((true, false), await cancelled.Task.OrTimeout());
    }

    [Theory, AllTransports]
    public async Task FlushThatTheStopCancels_IsSentByTheEndOfItsHandler(TransportKind kind)
    {
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        var cancelled = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ServerHost host = await StartAsync(kind, async connection =>
        {
            CancellationToken closing = ServerHost.Closing(connection);
            cancelled.SetResult(await WriteAsync(connection.Transport.Output, data, Cancel.Flush, closing));
            closing.ThrowIfCancellationRequested();
        });
        using Socket socket = await host.ConnectSlowAsync();
        await using SslStream client = await TlsTests.ConnectAsync(new NetworkStream(socket));
        byte[] received = new byte[data.Length];
        await client.ReadExactlyAsync(received, 0, 1).OrTimeout();

        Task stopped = host.StopAsync();

        Assert.True(await cancelled.Task.OrTimeout());
        await client.ReadExactlyAsync(received, 1, data.Length - 1).OrTimeout();
        Net.AssertSame(data, received);
        Assert.Equal(0, await client.ReadAsync(received).OrTimeout());
        await stopped.OrTimeout();
        host.AssertCalm();
    }

    [Theory, AllTransports]
    public async Task FlushThatIsCancelledAsItIsEncrypted_IsSent(TransportKind kind)
    {
        using var cancel = new CancellationTokenSource();
        HookedPipe? below = null;
        await using ServerHost host = await ServerHost.StartAsync(
            kind,
            connections => HookedPipe.AddTo(connections, pipe => below = pipe).UseTls(TlsTests.ServerOptions()).Run(async connection =>
            {
                below!.OnAdvance = cancel.Cancel;
                await WriteAsync(connection.Transport.Output, "x"u8.ToArray(), Cancel.Flush, cancel.Token);
                await connection.Transport.Output.FlushAsync();
                await connection.Transport.Input.ReadAsync();
            }));
        await using SslStream client = await TlsTests.ConnectAsync(new NetworkStream(await host.ConnectAsync(), ownsSocket: true));

        await client.ReadExactlyAsync(new byte[1]).OrTimeout();

        Assert.True(cancel.IsCancellationRequested);
    }

    [Theory, AllTransports]
    public async Task FlushThatItsHandlerLeavesBehind_IsSentToTheEnd(TransportKind kind)
    {
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        var isLeft = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ServerHost host = await StartAsync(kind, async connection =>
        {
            Task<bool> written = WriteAsync(connection.Transport.Output, data, Cancel.Flush, CancellationToken.None);
            await Task.WhenAny(written, connection.Transport.Input.ReadAsync().AsTask());
            isLeft.SetResult(!written.IsCompleted);
        });
        using Socket socket = await host.ConnectSlowAsync();
        using var wire = new TlsTests.RecordingStream(socket);
        await using SslStream client = await TlsTests.ConnectAsync(wire, SslProtocols.Tls12);

        await client.WriteAsync("x"u8.ToArray()).OrTimeout();

        Assert.True(await isLeft.Task.OrTimeout());
        byte[] received = new byte[data.Length];
        await client.ReadExactlyAsync(received).OrTimeout();
        Net.AssertSame(data, received);
        Assert.Equal(0, await client.ReadAsync(received).OrTimeout());
        Assert.Equal(TlsTests.Alert, TlsTests.LastRecordType(wire.Received.ToArray()));
        await host.UntilAllAreDisposedAsync();
        host.AssertCalm();
    }

    [Theory, AllTransports]
    public async Task OutputThatIsCompletedWithAnException_ResetsTheClient(TransportKind kind)
    {
        await using ServerHost host = await StartAsync(kind, async connection =>
        {
            await connection.Transport.Output.WriteTextAsync("half");
            await connection.Transport.Input.ReadAsync();
            await connection.Transport.Output.CompleteAsync(new FormatException("The other half can't be read."));
        });
        using Socket socket = await host.ConnectAsync();
        await using SslStream client = await TlsTests.ConnectAsync(new NetworkStream(socket));
        await client.ReadExactlyAsync(new byte[4]).OrTimeout();

        await client.WriteAsync("x"u8.ToArray()).OrTimeout();

        await socket.AssertResetAsync();
        await host.UntilAllAreDisposedAsync();
        host.AssertCalm();
    }

    private static Task<ServerHost> StartAsync(TransportKind kind, ConnectionDelegate handler) =>
        ServerHost.StartAsync(kind, connections => connections.UseTls(TlsTests.ServerOptions()).Run(handler.Invoke));

    // Whether it was cancelled.
    private static async Task<bool> WriteAsync(PipeWriter output, byte[] data, Cancel by, CancellationToken token)
    {
        try
        {
            if (by == Cancel.Write)
            {
                return (await output.WriteAsync(data, token)).IsCanceled;
            }

            output.Write(data);
            return (await output.FlushAsync(by == Cancel.Flush ? token : CancellationToken.None)).IsCanceled;
        }
        catch (OperationCanceledException)
        {
            return true;
        }
    }
}
