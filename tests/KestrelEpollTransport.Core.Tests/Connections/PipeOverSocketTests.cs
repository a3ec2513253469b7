using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>The two ends of a connection's pipe over real sockets, and what they do with the blocks of the host's pool.</summary>
public class PipeOverSocketTests
{
    public static TheoryData<Wire, ApplicationScheduling> WiresAndModes => new()
    {
        { Wire.Tcp, ApplicationScheduling.ThreadPool },
        { Wire.Tcp, ApplicationScheduling.UnsafeInline },
        { Wire.Unix, ApplicationScheduling.ThreadPool },
        { Wire.Unix, ApplicationScheduling.UnsafeInline },
    };

    public static TheoryData<Wire, string> WiresAndEnds
    {
        get
        {
            TheoryData<Wire, string> data = [];
            foreach (Wire wire in Enum.GetValues<Wire>())
            {
                foreach (string end in s_ends.Keys)
                {
                    data.Add(wire, end);
                }
            }

            return data;
        }
    }

    private const int InputLength = 20_000;

    private static readonly Dictionary<string, Func<ConnectionContext, Socket, Task>> s_ends = new()
    {
        ["all consumed"] = async (connection, _) =>
        {
            ReadResult result = await connection.Transport.Input.ReadAsync().OrTimeout();
            connection.Transport.Input.AdvanceTo(result.Buffer.End);
        },
        ["unconsumed input"] = async (connection, _) =>
        {
            ReadResult result = await connection.Transport.Input.ReadAsync().OrTimeout();
            connection.Transport.Input.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        },
        ["read and not advanced"] = async (connection, _) => await connection.Transport.Input.ReadAsync().OrTimeout(),
        ["aborted with unconsumed input"] = async (connection, _) =>
        {
            ReadResult result = await connection.Transport.Input.ReadAsync().OrTimeout();
            connection.Transport.Input.AdvanceTo(result.Buffer.Start, result.Buffer.End);
            connection.Abort();
        },
        ["aborted while a read waits"] = async (connection, _) =>
        {
            ReadResult result = await connection.Transport.Input.ReadAtLeastAsync(InputLength).OrTimeout();
            connection.Transport.Input.AdvanceTo(result.Buffer.End);
            Task<ReadResult> pending = connection.Transport.Input.ReadAsync().AsTask();
            connection.Abort();
            await Assert.ThrowsAsync<ConnectionAbortedException>(() => pending.OrTimeout());
        },
        ["memory without Advance, then Complete"] = (connection, _) =>
        {
            connection.Transport.Output.GetMemory(1)[..1].Span[0] = 1;
            connection.Transport.Output.Complete();
            return Task.CompletedTask;
        },
        ["memory without Advance, then Abort"] = (connection, _) =>
        {
            connection.Transport.Output.GetMemory(1);
            connection.Abort();
            return Task.CompletedTask;
        },
        ["written and not flushed"] = (connection, _) =>
        {
            connection.Transport.Output.GetMemory(100);
            connection.Transport.Output.Advance(100);
            return Task.CompletedTask;
        },
        ["aborted while a flush waits"] = async (connection, _) =>
        {
            Task<FlushResult> pending = connection.Transport.Output.WriteAsync(new byte[16 * 1024 * 1024]).AsTask();
            Assert.False(pending.IsCompleted);
            connection.Abort();
            Assert.True((await pending.OrTimeout()).IsCompleted);
        },
        ["the peer resets while a flush waits"] = async (connection, peer) =>
        {
            Task<FlushResult> pending = connection.Transport.Output.WriteAsync(new byte[16 * 1024 * 1024]).AsTask();
            Assert.False(pending.IsCompleted);
            peer.Close(0);
            Assert.True((await pending.OrTimeout()).IsCompleted);
        },
    };

    [Theory]
    [MemberData(nameof(WiresAndModes))]
    public async Task Connection_ThatWaitsForInput_HoldsNoBlock(Wire wire, ApplicationScheduling scheduling)
    {
        using TestTransport transport = new(options => options.Scheduling = scheduling);
        await using ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        PipeReader input = connection.Transport.Input;
        for (int i = 0; i < 3; i++)
        {
            Task<ReadResult> read = input.ReadAsync().AsTask();
            await Timeouts.UntilAsync(() => transport.Pool.Outstanding == 0);
            Assert.False(read.IsCompleted);

            peer.SendAll([1, 2, 3]);
            ReadResult result = await read.OrTimeout();

            Assert.Equal([1, 2, 3], result.Buffer.ToArray());
            Assert.Equal(1, transport.Pool.Outstanding);
            input.AdvanceTo(result.Buffer.End);
            Assert.Equal(0, transport.Pool.Outstanding);
        }

        Assert.Empty(transport.Pool.Violations);
    }

    [Theory]
    [MemberData(nameof(WiresAndModes))]
    public async Task BigUpload_ThatIsAskedForAtOnce_IsOneResultOfManySegments(Wire wire, ApplicationScheduling scheduling)
    {
        byte[] sent = RandomBytes(256 * 1024);
        using TestTransport transport = new(options => options.Scheduling = scheduling);
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        Task<ReadResult> read = connection.Transport.Input.ReadAtLeastAsync(sent.Length).AsTask();

        await Task.Run(() => peer.SendAll(sent)).OrTimeout();
        ReadResult result = await read.OrTimeout();

        Assert.Equal(sent.Length, result.Buffer.Length);
        Assert.True(result.Buffer.ToArray().AsSpan().SequenceEqual(sent));
        Assert.InRange(CountSegments(result.Buffer), sent.Length / 4096, int.MaxValue);
        Assert.Equal(CountSegments(result.Buffer), transport.Pool.Outstanding);
        connection.Transport.Input.AdvanceTo(result.Buffer.End);
        await connection.DisposeAsync().OrTimeout();
        await transport.Pool.AssertAllReturnedAsync();
    }

    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task BigUpload_ReadAsItComes_ReachesSeveralSegmentsARead(Wire wire)
    {
        byte[] sent = RandomBytes(64 * 1024);
        using TestTransport transport = new();
        await using ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        await Task.Run(() => peer.SendAll(sent)).OrTimeout();
        PipeReader input = connection.Transport.Input;
        List<byte> received = [];
        int most = 0;

        while (received.Count < sent.Length)
        {
            ReadResult result = await input.ReadAsync().OrTimeout();
            received.AddRange(result.Buffer.ToArray());
            most = Math.Max(most, CountSegments(result.Buffer));
            input.AdvanceTo(result.Buffer.End);
        }

        Assert.True(received.ToArray().AsSpan().SequenceEqual(sent));
        Assert.InRange(most, 2, 17);
    }

    [Theory]
    [MemberData(nameof(WiresAndModes))]
    public async Task Echo_OfEightMegabytesInRandomChunks_ArrivesByteForByte(Wire wire, ApplicationScheduling scheduling)
    {
        byte[] sent = RandomBytes(8 * 1024 * 1024);
        byte[] received = new byte[sent.Length];
        using TestTransport transport = new(options => options.Scheduling = scheduling);
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        Task echo = EchoAsync(connection);

        Task sending = Task.Factory.StartNew(
            () =>
            {
                Random random = new(2);
                for (int offset = 0; offset < sent.Length;)
                {
                    int length = Math.Min(random.Next(1, random.Next(2) == 0 ? 100 : 100_000), sent.Length - offset);
                    peer.SendAll(sent.AsSpan(offset, length));
                    offset += length;
                }

                peer.Shutdown(SocketShutdown.Send);
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        int count = await Task.Factory.StartNew(
            () => peer.ReceiveAll(received), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).OrTimeout();
        await sending.OrTimeout();
        await echo.OrTimeout();

        Assert.Equal(sent.Length, count);
        Assert.True(received.AsSpan().SequenceEqual(sent));
        Assert.Equal(0, peer.Receive(received));
        await transport.Pool.AssertAllReturnedAsync();
    }

    [Theory]
    [MemberData(nameof(WiresAndEnds))]
    public async Task Connection_ThatEnded_HoldsNoBlock(Wire wire, string end)
    {
        using TestTransport transport = new();
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        peer.SendAll(RandomBytes(InputLength));

        await s_ends[end](connection, peer).OrTimeout();
        await connection.DisposeAsync().OrTimeout();

        await transport.Pool.AssertAllReturnedAsync();
    }

    internal static async Task EchoAsync(ConnectionContext connection, Action? onRead = null)
    {
        await using (connection.ConfigureAwait(false))
        {
            PipeReader input = connection.Transport.Input;
            PipeWriter output = connection.Transport.Output;
            while (true)
            {
                ReadResult result = await input.ReadAsync().ConfigureAwait(false);
                onRead?.Invoke();
                foreach (ReadOnlyMemory<byte> segment in result.Buffer)
                {
                    output.Write(segment.Span);
                }

                input.AdvanceTo(result.Buffer.End);
                FlushResult flushed = await output.FlushAsync().ConfigureAwait(false);
                if (result.IsCompleted || flushed.IsCompleted)
                {
                    return;
                }
            }
        }
    }

    private static byte[] RandomBytes(int length)
    {
        byte[] bytes = new byte[length];
        new Random(1).NextBytes(bytes);
        return bytes;
    }

    private static int CountSegments(ReadOnlySequence<byte> sequence)
    {
        int count = 0;
        foreach (ReadOnlyMemory<byte> segment in sequence)
        {
            count += segment.IsEmpty ? 0 : 1;
        }

        return count;
    }
}

/// <summary>What connections cost: counted, so alone.</summary>
[Collection(RunsAlone.Name)]
public class PipeOverSocketCostTests
{
    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task RoundTrip_InSteadyState_AllocatesNothing(Wire wire)
    {
        const int BatchLength = 100;
        const int WarmUpBatches = 30;
        const int Batches = 100;
        using TestTransport transport = new(options => options.Scheduling = ApplicationScheduling.UnsafeInline);
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        int reads = 0;
        long before = 0;
        List<long> allocated = new(WarmUpBatches + Batches);
        Task echo = PipeOverSocketTests.EchoAsync(connection, () =>
        {
            if (reads++ % BatchLength == 0)
            {
                long now = GC.GetAllocatedBytesForCurrentThread();
                allocated.Add(now - before);
                before = now;
            }
        });

        await Task.Factory.StartNew(
            () => RunRoundTrips(peer, new byte[100], (WarmUpBatches + Batches) * BatchLength),
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).OrTimeout();

        // Counted on the loop's thread, which waits, receives, runs the handler and sends. Not every batch is without
        // an object: where the watch was quicker to send a flush, the object of its block stays with that thread.
        long[] settled = [.. allocated.Skip(WarmUpBatches).Order()];
        Assert.Equal(Batches, settled.Length);
        Assert.Equal(0, settled[Batches / 2]);
        peer.Shutdown(SocketShutdown.Send);
        await echo.OrTimeout();
        await transport.Pool.AssertAllReturnedAsync();
        Assert.InRange(transport.Pool.Highest, 1, 4);
    }

    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task Descriptors_AfterConnectionsAndTransportEnded_AreAllClosed(Wire wire)
    {
        await RunAndEndAsync(wire);
        int baseline = Descriptors.CountSettled();

        await RunAndEndAsync(wire);

        await Timeouts.UntilAsync(() => Descriptors.Count() <= baseline);
    }

    private static async Task RunAndEndAsync(Wire wire)
    {
        const int Connections = 20;
        int before = Descriptors.Count();
        using TestTransport transport = new();
        List<Socket> peers = [];
        List<Task> echoes = [];
        List<ConnectionContext> aborted = [];
        byte[] buffer = new byte[1_000];
        for (int i = 0; i < Connections; i++)
        {
            ConnectionContext connection = transport.Connect(wire, out Socket peer);
            peers.Add(peer);
            if (i % 2 == 0)
            {
                echoes.Add(PipeOverSocketTests.EchoAsync(connection));
                peer.SendAll(buffer);
                Assert.Equal(buffer.Length, peer.ReceiveAll(buffer));
            }
            else
            {
                aborted.Add(connection);
            }
        }

        Assert.InRange(Descriptors.Count(), before + (2 * Connections), int.MaxValue);
        foreach (ConnectionContext connection in aborted)
        {
            connection.Abort();
            await connection.DisposeAsync().OrTimeout();
        }

        peers.ForEach(peer => peer.Dispose());
        await Task.WhenAll(echoes).OrTimeout();
        await Timeouts.UntilAsync(() => transport.Load == 0);
    }

    private static void RunRoundTrips(Socket peer, byte[] buffer, int count)
    {
        for (int i = 0; i < count; i++)
        {
            buffer.AsSpan().Fill((byte)i);
            peer.SendAll(buffer);
            if (peer.ReceiveAll(buffer) != buffer.Length || buffer.AsSpan().ContainsAnyExcept((byte)i))
            {
                throw new InvalidOperationException($"Round trip {i} brought something else back.");
            }
        }
    }
}
