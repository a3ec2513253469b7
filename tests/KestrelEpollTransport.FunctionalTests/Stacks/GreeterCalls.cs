using Grpc.Core;
using Grpc.Net.Client;
using RealStacks;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>Calls of the gRPC service of samples/RealStacks.</summary>
internal static class GreeterCalls
{
    public static GrpcChannel CreateChannel(KestrelHost host) =>
        GrpcChannel.ForAddress(host.Address, new GrpcChannelOptions { HttpHandler = KestrelHost.CreateHandler(), DisposeHttpClient = true });

    /// <summary>All four kinds, many at once, and what goes wrong.</summary>
    public static async Task AssertAnsweredAsync(Greeter.GreeterClient client)
    {
        Greeting[] answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(
            i => client.GreetAsync(new GreetRequest { Name = $"{i}" }).ResponseAsync)).OrTimeout();
        Assert.Equal(Enumerable.Range(0, 50).Select(static i => $"Hello, {i}!"), answers.Select(static answer => answer.Text));

        using AsyncServerStreamingCall<Number> count = client.Count(new CountRequest { Limit = 1000 });
        for (int i = 0; i < 1000; i++)
        {
            Assert.Equal(i, (await count.ResponseStream.NextAsync()).Value);
        }

        Assert.False(await count.ResponseStream.MoveNext().OrTimeout());

        using AsyncClientStreamingCall<Number, Number> sum = client.Sum();
        for (int i = 0; i < 1000; i++)
        {
            await sum.RequestStream.WriteAsync(new Number { Value = i }).OrTimeout();
        }

        await sum.RequestStream.CompleteAsync().OrTimeout();
        Assert.Equal(499_500, (await sum.ResponseAsync.OrTimeout()).Value);

        using AsyncDuplexStreamingCall<GreetRequest, Greeting> each = client.GreetEach();
        foreach (int length in new[] { 1, 100, 20_000, 1_000_000, 1 })
        {
            string name = new('x', length);
            await each.RequestStream.WriteAsync(new GreetRequest { Name = name }).OrTimeout();
            Assert.Equal($"Hello, {name}!", (await each.ResponseStream.NextAsync()).Text);
        }

        await each.RequestStream.CompleteAsync().OrTimeout();
        Assert.False(await each.ResponseStream.MoveNext().OrTimeout());

        await AssertFailsAsync(StatusCode.InvalidArgument, client.GreetAsync(new GreetRequest()).ResponseAsync);
        using AsyncDuplexStreamingCall<GreetRequest, Greeting> late = client.GreetEach(deadline: DateTime.UtcNow.AddMilliseconds(50));

        // Client and server each have a clock for it. Where the server's is first, a proxy between them passes on that the stream was reset: as no
        // error, or, where it was copying at that moment, as one of its own.
        RpcException failure = await Assert.ThrowsAsync<RpcException>(() => late.ResponseStream.MoveNext().OrTimeout());
        Assert.Contains(failure.StatusCode, new[] { StatusCode.DeadlineExceeded, StatusCode.Unavailable, StatusCode.Internal });
    }

    /// <summary>Cancels a call that is being answered, and one that waits for the client: neither would end by itself.</summary>
    /// <param name="client">The client, which stays usable.</param>
    /// <param name="nextEndedAsync">Waits for the next end of a request at the server.</param>
    public static async Task AssertCancelledAsync(Greeter.GreeterClient client, Func<Task> nextEndedAsync)
    {
        using (var cancel = new CancellationTokenSource())
        {
            using AsyncServerStreamingCall<Number> count = client.Count(new CountRequest { Limit = int.MaxValue }, cancellationToken: cancel.Token);
            Assert.Equal(0, (await count.ResponseStream.NextAsync()).Value);
            await cancel.CancelAsync();
            await AssertFailsAsync(StatusCode.Cancelled, DrainAsync(count.ResponseStream));
            await nextEndedAsync();
        }

        using (AsyncDuplexStreamingCall<GreetRequest, Greeting> each = client.GreetEach())
        {
            await each.RequestStream.WriteAsync(new GreetRequest { Name = "you" }).OrTimeout();
            Assert.Equal("Hello, you!", (await each.ResponseStream.NextAsync()).Text);
        }

        await nextEndedAsync();
        Assert.Equal("Hello, still!", (await client.GreetAsync(new GreetRequest { Name = "still" }).ResponseAsync.OrTimeout()).Text);
    }

    private static async Task<T> NextAsync<T>(this IAsyncStreamReader<T> stream)
        where T : class
    {
        Assert.True(await stream.MoveNext().OrTimeout());
        return stream.Current;
    }

    private static async Task DrainAsync(IAsyncStreamReader<Number> stream)
    {
        while (await stream.MoveNext())
        {
        }
    }

    private static async Task AssertFailsAsync(StatusCode expected, Task call) =>
        Assert.Equal(expected, (await Assert.ThrowsAsync<RpcException>(() => call.OrTimeout())).StatusCode);
}
