using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>A client's reset is told as a reset, whoever learns of it first, and behind the bytes that arrived before it.</summary>
public class ResetBehindDataTests
{
    private const int ConnectionReset = 19;
    private const string TornThere = "Sockets tells a clean end after 5 of 300 resets, 13 of 60 with the slow logger: its send loop may take the error";
    private const string LostThere = "Sockets fails its input pipe at once, and what stood in it is lost: 0 to 6 of 200 arrive whole";
    private const string UnseenThere = "Sockets waits in the flush of its input pipe and does not see a reset while it is paused";

    /// <remarks>
    /// A send takes the socket's error as well as a receive does, and the one who comes second sees no error: a stream that
    /// was cut must not pass for a whole one. A logger that takes its time makes the moment between them long.
    /// </remarks>
    [Theory]
    [EpollTransports(TornThere, false, 0, 300), EpollTransports(TornThere, true, 0, 300)]
    [EpollTransports(TornThere, false, 10, 60), EpollTransports(TornThere, true, 10, 60)]
    public async Task ClientReset_WhileServerWritesAndReads_IsNeverACleanEnd(TransportKind kind, bool unix, int logMilliseconds, int connections)
    {
        const int AtOnce = 4;
        await using ConnectionPair first = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        first.Logs.OnEntry = entry => Thread.Sleep(entry.Id == ConnectionReset ? logMilliseconds : 0);

        var ends = new List<string>();
        for (int i = 0; i < connections; i += AtOnce)
        {
            ends.AddRange(await Task.WhenAll(Enumerable.Range(i, AtOnce).Select(number => ResetWhileBothAreBusyAsync(first, number))).OrTimeout());
        }

        Assert.Equal($"[{nameof(ConnectionResetException)}, {connections}]", string.Join(' ', ends.CountBy(end => end)));
    }

    /// <remarks>
    /// A unix socket has no reset but this: the client closes with bytes that it has not read. The error that says so must not be lost in a
    /// send that is in the middle of a large piece.
    /// </remarks>
    [Theory, EpollTransports(TornThere)]
    public async Task UnixClientReset_InTheMiddleOfALargeSend_IsNeverACleanEnd(TransportKind kind)
    {
        const int Connections = 400;
        await using ConnectionPair first = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix: true));
        byte[] piece = new byte[128 * 1024];
        var ends = new List<string>();
        for (int i = 0; i < Connections; i++)
        {
            await using ConnectionPair pair = await first.CreateAnotherAsync();
            Task client = Task.Run(() =>
            {
                pair.Client.Receive(new byte[1]);
                pair.Client.Dispose();
            });
            while (!(await pair.Output.WriteAsync(piece)).IsCompleted)
            {
            }

            await client.OrTimeout();
            Exception? end = await Record.ExceptionAsync(() => pair.Input.ReadAsync().OrTimeout());
            ends.Add(end?.GetType().Name ?? "a clean end");
        }

        Assert.Equal($"[{nameof(ConnectionResetException)}, {Connections}]", string.Join(' ', ends.CountBy(end => end)));
    }

    [Theory, EpollTransports(LostThere, false), EpollTransports(LostThere, true)]
    public async Task ClientReset_RightBehindData_IsToldAfterAllOfIt(TransportKind kind, bool unix) =>
        await AssertWholeAsync(kind, unix, size: 60_000, maxReadBufferSize: 1024 * 1024, connections: 200, abortOnClosed: false);

    /// <remarks>What Kestrel does to every end that it is told of.</remarks>
    [Theory, EpollTransports(LostThere, false), EpollTransports(LostThere, true)]
    public async Task ClientReset_RightBehindDataAndAbortNullOnClosed_IsToldAfterAllOfIt(TransportKind kind, bool unix) =>
        await AssertWholeAsync(kind, unix, size: 60_000, maxReadBufferSize: 1024 * 1024, connections: 200, abortOnClosed: true);

    /// <remarks>The token does not wait for room: nothing more will come.</remarks>
    [Theory, EpollTransports(UnseenThere, false), EpollTransports(UnseenThere, true)]
    public async Task ClientReset_BehindMoreThanTheReadBoundAndAbortNullOnClosed_IsToldAfterAllOfIt(TransportKind kind, bool unix) =>
        await AssertWholeAsync(kind, unix, size: 60_000, maxReadBufferSize: 16 * 1024, connections: 20, abortOnClosed: true);

    private static async Task AssertWholeAsync(
        TransportKind kind, bool unix, int size, long maxReadBufferSize, int connections, bool abortOnClosed)
    {
        byte[] data = Net.Pattern(size);
        await using ConnectionPair first = await ConnectionPair.CreateAsync(kind, s => s.MaxReadBufferSize = maxReadBufferSize, Net.NewEndPoint(unix));
        int whole = 0;
        for (int i = 0; i < connections; i++)
        {
            await using ConnectionPair pair = await first.CreateAnotherAsync();
            using CancellationTokenRegistration abort = abortOnClosed
                ? pair.Server.ConnectionClosed.Register(() => pair.Server.Abort(null!)) : default;
            await LeaveAByteUnreadAsync(pair);
            Task<(byte[] Received, string End)> reading = ReadAfterAsync(pair, abortOnClosed ? pair.Closed : Task.CompletedTask);

            await pair.Client.SendAllAsync(data);
            pair.Client.Reset();

            (byte[] received, string end) = await reading.OrTimeout();
            Assert.Equal(nameof(ConnectionResetException), end);
            await pair.Closed.OrTimeout();
            whole += received.AsSpan().SequenceEqual(data) ? 1 : 0;
        }

        // The kernel may lose the very last segments itself, when the reset overtakes what was not acknowledged.
        Assert.InRange(whole, connections * 99 / 100, connections);
    }

    private static async Task<string> ResetWhileBothAreBusyAsync(ConnectionPair first, int number)
    {
        var random = new Random(number);
        await using ConnectionPair pair = await first.CreateAnotherAsync();
        await LeaveAByteUnreadAsync(pair);
        Task writing = Task.Run(() => WriteUntilTheEndAsync(pair.Output));
        Task<(byte[] Received, string End)> reading = Task.Run(() => ReadAfterAsync(pair, Task.CompletedTask));

        for (int i = random.Next(1, 20); i > 0; i--)
        {
            await pair.Client.SendAllAsync(new byte[100]);
        }

        // Half of them while the reader is still busy, half when it waits.
        await Task.Delay(number % 2 == 0 ? 0 : random.Next(1, 4));
        pair.Client.Reset();

        (_, string end) = await reading.OrTimeout();
        await writing.OrTimeout();
        return end;
    }

    /// <summary>A unix socket has no reset of its own: a client's close is one while it has something unread.</summary>
    private static async Task LeaveAByteUnreadAsync(ConnectionPair pair)
    {
        await pair.Output.WriteTextAsync("x");
        await pair.Client.ReceiveAsync(new byte[1], SocketFlags.Peek).OrTimeout();
    }

    private static async Task WriteUntilTheEndAsync(PipeWriter output)
    {
        while (!(await output.WriteAsync(new byte[1])).IsCompleted)
        {
            await Task.Yield();
        }
    }

    private static async Task<(byte[] Received, string End)> ReadAfterAsync(ConnectionPair pair, Task start)
    {
        await start.OrTimeout();
        using var received = new MemoryStream();
        try
        {
            while (true)
            {
                ReadResult result = await pair.Input.ReadAsync();
                foreach (ReadOnlyMemory<byte> segment in result.Buffer)
                {
                    received.Write(segment.Span);
                }

                pair.Input.AdvanceTo(result.Buffer.End);
                if (result.IsCompleted)
                {
                    return (received.ToArray(), "a clean end");
                }
            }
        }
        catch (Exception error) when (error is IOException or OperationCanceledException)
        {
            return (received.ToArray(), error.GetType().Name);
        }
    }
}
