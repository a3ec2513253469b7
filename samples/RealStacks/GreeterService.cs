using Grpc.Core;

namespace RealStacks;

#pragma warning disable CA1515 // gRPC's own generated base is public.
/// <summary>The gRPC service of greeter.proto.</summary>
public sealed class GreeterService : Greeter.GreeterBase
#pragma warning restore CA1515
{
    /// <inheritdoc/>
    public override async Task<Greeting> Greet(GreetRequest request, ServerCallContext context)
    {
        // Behind an await, as most of what real services do: where it goes on is the transport's business.
        await Task.Delay(1, context.CancellationToken);
        return MakeGreeting(request.Name);
    }

    /// <inheritdoc/>
    public override async Task Count(CountRequest request, IServerStreamWriter<Number> responseStream, ServerCallContext context)
    {
        for (int i = 0; i < request.Limit; i++)
        {
            await responseStream.WriteAsync(new Number { Value = i }, context.CancellationToken);
        }
    }

    /// <inheritdoc/>
    public override async Task<Number> Sum(IAsyncStreamReader<Number> requestStream, ServerCallContext context)
    {
        int sum = 0;
        await foreach (Number number in requestStream.ReadAllAsync(context.CancellationToken))
        {
            sum += number.Value;
        }

        return new Number { Value = sum };
    }

    /// <inheritdoc/>
    public override async Task GreetEach(
        IAsyncStreamReader<GreetRequest> requestStream, IServerStreamWriter<Greeting> responseStream, ServerCallContext context)
    {
        await foreach (GreetRequest request in requestStream.ReadAllAsync(context.CancellationToken))
        {
            await responseStream.WriteAsync(MakeGreeting(request.Name), context.CancellationToken);
        }
    }

    private static Greeting MakeGreeting(string name) => name == ""
        ? throw new RpcException(new Status(StatusCode.InvalidArgument, "A name is needed."))
        : new Greeting { Text = $"Hello, {name}!", Thread = Thread.CurrentThread.Name ?? "" };
}
