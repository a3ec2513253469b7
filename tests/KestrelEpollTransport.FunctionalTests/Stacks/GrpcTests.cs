using Grpc.Net.Client;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using RealStacks;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>The gRPC service of samples/RealStacks.</summary>
public class GrpcTests
{
    [Theory]
    [AllTransports(false), AllTransports(true)]
    public async Task Calls_OfAllKinds_AreAnswered(TransportKind kind, bool tls)
    {
        await using KestrelHost host = await StackPair.StartApplicationAsync(kind, tls ? KestrelHost.UseTls : UseHttp2);
        using GrpcChannel channel = GreeterCalls.CreateChannel(host);

        await GreeterCalls.AssertAnsweredAsync(new Greeter.GreeterClient(channel));
        host.AssertTransportWasCalm();
    }

    [Theory]
    [AllTransports(false), AllTransports(true)]
    public async Task Calls_Cancelled_EndTheServiceAndNotTheConnection(TransportKind kind, bool tls)
    {
        using var ends = new RequestEnds();
        await using KestrelHost host = await StackPair.StartApplicationAsync(kind, tls ? KestrelHost.UseTls : UseHttp2, ends.Watch);
        using GrpcChannel channel = GreeterCalls.CreateChannel(host);

        await GreeterCalls.AssertCancelledAsync(new Greeter.GreeterClient(channel), ends.NextAsync);
        Assert.Single(host.Logs.All(), static e => e.Category == "Microsoft.AspNetCore.Server.Kestrel.Connections"
            && e.Message.EndsWith(" started.", StringComparison.Ordinal));
        host.AssertTransportWasCalm();
    }

    [Fact]
    public async Task Calls_WithContinuationsScheduled_RunOnTheTransportsThreads()
    {
        await using KestrelHost host = await StackPair.StartApplicationAsync(TransportKind.EpollContinuations, UseHttp2);
        using GrpcChannel channel = GreeterCalls.CreateChannel(host);

        Greeting greeting = await new Greeter.GreeterClient(channel).GreetAsync(new GreetRequest { Name = "you" }).ResponseAsync.OrTimeout();

        Assert.Matches("^epoll (loop|worker)", greeting.Thread);
    }

    private static void UseHttp2(ListenOptions listen) => listen.Protocols = HttpProtocols.Http2;
}
