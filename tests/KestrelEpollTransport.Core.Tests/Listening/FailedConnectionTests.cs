using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Net.Sockets;
using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Listening;

/// <summary>A connection that can't be started, between accept(2) and the queue: it costs nobody else anything.</summary>
[Collection(RunsAlone.Name)]
public class FailedConnectionTests
{
    // More than the queue has places: none may be lost.
    private const int Failures = AcceptPlaces.Limit + 10;

    public static TheoryData<TransportMode, Wire> Modes => TransportModes.AllOnBothWires;

    [Theory]
    [MemberData(nameof(Modes))]
    public async Task Accept_ConnectionsWhoseStartThrows_CostThoseAndNothingElse(TransportMode mode, Wire wire) =>
        await AssertGoesOnAsync(mode, wire, static () => throw new InvalidOperationException("on purpose"));

    [Theory]
    [MemberData(nameof(Modes))]
    public async Task Accept_ConnectionsThatCannotBeRegistered_CostThoseAndNothingElse(TransportMode mode, Wire wire) =>
        await AssertGoesOnAsync(mode, wire, static () => IoResult.Failure(Errno.ENOMEM));

    private static async Task AssertGoesOnAsync(TransportMode mode, Wire wire, Func<IoResult> fail)
    {
        // Of whatever transport: this class runs alone.
        ConcurrentDictionary<string, long> counted = new();
        using MeterListener listening = new();
        listening.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Meter.Name == "KestrelEpollTransport")
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listening.SetMeasurementEventCallback<long>((instrument, value, tags, _) => counted.AddOrUpdate(
            instrument.Name == "epoll_transport.accept.errors" ? instrument.Name : $"{instrument.Name} {tags[0].Value}", value, (_, before) => before + value));
        listening.Start();
        bool fails = true;
        using TestTransport transport = new(
            options => options.Scheduling = mode.Scheduling(),
            () => new ThrowingPoller(mode.CreatePoller(), () => Volatile.Read(ref fails) ? fail() : null));
        EpollListener listener = EpollListener.Bind(transport.Engine, wire.NewEndPoint());
        for (int i = 0; i < Failures; i++)
        {
            // Its descriptor was closed: the client sees an end, one or the other.
            using Socket client = wire.ConnectTo(listener.EndPoint);
            Assert.Equal(0, ReceiveOrReset(client));
        }

        await Timeouts.UntilAsync(() => transport.Load == 0);
        await Timeouts.UntilAsync(() => counted.GetValueOrDefault("epoll_transport.accept.errors") == Failures);
        Assert.Equal(Failures, counted["epoll_transport.connections.refused not_started"]);
        Volatile.Write(ref fails, false);
        using Socket next = wire.ConnectTo(listener.EndPoint);

        ConnectionContext? accepted = await listener.AcceptAsync().OrTimeout();

        Assert.NotNull(accepted);
        Assert.Equal(1, transport.Load);
        next.SendAll("x"u8);
        System.IO.Pipelines.ReadResult read = await accepted.Transport.Input.ReadAsync().OrTimeout();
        Assert.Equal(1, read.Buffer.Length);
        accepted.Transport.Input.AdvanceTo(read.Buffer.End);
        accepted.Abort();
        await listener.UnbindAsync().OrTimeout();
    }

    private static int ReceiveOrReset(Socket client)
    {
        try
        {
            return client.Receive(new byte[1]);
        }
        catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionReset)
        {
            return 0;
        }
    }
}
