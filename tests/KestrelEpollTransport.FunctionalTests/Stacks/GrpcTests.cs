using System.Globalization;
using System.Text;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>gRPC's four kinds of calls. The service is written by hand: what a compiler of .proto files would make of it.</summary>
public class GrpcTests
{
    private static readonly Marshaller<string> s_text = new(Encoding.UTF8.GetBytes, Encoding.UTF8.GetString);
    private static readonly Method<string, string> s_unary = new(MethodType.Unary, "Echo", "Unary", s_text, s_text);
    private static readonly Method<string, string> s_down = new(MethodType.ServerStreaming, "Echo", "Down", s_text, s_text);
    private static readonly Method<string, string> s_up = new(MethodType.ClientStreaming, "Echo", "Up", s_text, s_text);
    private static readonly Method<string, string> s_both = new(MethodType.DuplexStreaming, "Echo", "Both", s_text, s_text);

    [Theory, AllTransports]
    public async Task Calls_OfAllKinds_AreAnswered(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind);
        using GrpcChannel channel = GrpcChannel.ForAddress(host.Address);
        CallInvoker invoker = channel.CreateCallInvoker();

        string[] answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(
            i => invoker.AsyncUnaryCall(s_unary, null, default, $"{i}").ResponseAsync)).OrTimeout();
        Assert.Equal(Enumerable.Range(0, 50).Select(static i => $"echo {i}"), answers);

        using AsyncServerStreamingCall<string> down = invoker.AsyncServerStreamingCall(s_down, null, default, "20");
        Assert.Equal(20, await CountAsync(down.ResponseStream));

        using AsyncClientStreamingCall<string, string> up = invoker.AsyncClientStreamingCall(s_up, null, default);
        for (int i = 0; i < 20; i++)
        {
            await up.RequestStream.WriteAsync("x").OrTimeout();
        }

        await up.RequestStream.CompleteAsync().OrTimeout();
        Assert.Equal("20", await up.ResponseAsync.OrTimeout());

        using AsyncDuplexStreamingCall<string, string> both = invoker.AsyncDuplexStreamingCall(s_both, null, default);
        for (int i = 0; i < 20; i++)
        {
            await both.RequestStream.WriteAsync($"{i}").OrTimeout();
            Assert.True(await both.ResponseStream.MoveNext().OrTimeout());
            Assert.Equal($"echo {i}", both.ResponseStream.Current);
        }

        await both.RequestStream.CompleteAsync().OrTimeout();
        Assert.False(await both.ResponseStream.MoveNext().OrTimeout());

        RpcException error = await Assert.ThrowsAsync<RpcException>(() => invoker.AsyncUnaryCall(s_unary, null, default, "fail").ResponseAsync.OrTimeout());
        Assert.Equal(StatusCode.FailedPrecondition, error.StatusCode);
        RpcException late = await Assert.ThrowsAsync<RpcException>(
            () => invoker.AsyncUnaryCall(s_unary, null, new CallOptions(deadline: DateTime.UtcNow.AddMilliseconds(50)), "late").ResponseAsync.OrTimeout());
        Assert.Equal(StatusCode.DeadlineExceeded, late.StatusCode);
    }

    [Fact]
    public async Task Calls_WithContinuationsScheduled_RunOnTheTransportsThreads()
    {
        await using KestrelHost host = await StartAsync(TransportKind.EpollContinuations);
        using GrpcChannel channel = GrpcChannel.ForAddress(host.Address);

        Assert.Matches("^epoll (loop|worker)", await channel.CreateCallInvoker().AsyncUnaryCall(s_unary, null, default, "thread").ResponseAsync.OrTimeout());
    }

    private static Task<KestrelHost> StartAsync(TransportKind kind) => KestrelHost.StartAsync(
        kind,
        static app => app.MapGrpcService<EchoService>(),
        static listen => listen.Protocols = HttpProtocols.Http2,
        static builder => builder.Services.AddGrpc());

    private static async Task<int> CountAsync(IAsyncStreamReader<string> stream)
    {
        int count = 0;
        while (await stream.MoveNext().OrTimeout())
        {
            Assert.Equal(count++, int.Parse(stream.Current, CultureInfo.InvariantCulture));
        }

        return count;
    }

    [BindServiceMethod(typeof(EchoServiceBase), nameof(Bind))]
#pragma warning disable CA1515 // gRPC makes it.
    public abstract class EchoServiceBase
    {
        public static void Bind(ServiceBinderBase binder, EchoServiceBase? service)
        {
            binder.AddMethod(s_unary, (UnaryServerMethod<string, string>)null!);
            binder.AddMethod(s_down, (ServerStreamingServerMethod<string, string>)null!);
            binder.AddMethod(s_up, (ClientStreamingServerMethod<string, string>)null!);
            binder.AddMethod(s_both, (DuplexStreamingServerMethod<string, string>)null!);
        }

        public abstract Task<string> Unary(string request, ServerCallContext context);

        public abstract Task Down(string request, IServerStreamWriter<string> responses, ServerCallContext context);

        public abstract Task<string> Up(IAsyncStreamReader<string> requests, ServerCallContext context);

        public abstract Task Both(IAsyncStreamReader<string> requests, IServerStreamWriter<string> responses, ServerCallContext context);
    }

    public sealed class EchoService : EchoServiceBase
#pragma warning restore CA1515
    {
        public override async Task<string> Unary(string request, ServerCallContext context)
        {
            await Task.Delay(request == "late" ? Timeout.Infinite : 1, context.CancellationToken);
            return request switch
            {
                "fail" => throw new RpcException(new Status(StatusCode.FailedPrecondition, "of the service")),
                "thread" => Thread.CurrentThread.Name ?? "",
                _ => $"echo {request}",
            };
        }

        public override async Task Down(string request, IServerStreamWriter<string> responses, ServerCallContext context)
        {
            for (int i = 0; i < int.Parse(request, CultureInfo.InvariantCulture); i++)
            {
                await responses.WriteAsync($"{i}");
            }
        }

        public override async Task<string> Up(IAsyncStreamReader<string> requests, ServerCallContext context)
        {
            int count = 0;
            while (await requests.MoveNext(context.CancellationToken))
            {
                count++;
            }

            return $"{count}";
        }

        public override async Task Both(IAsyncStreamReader<string> requests, IServerStreamWriter<string> responses, ServerCallContext context)
        {
            while (await requests.MoveNext(context.CancellationToken))
            {
                await responses.WriteAsync($"echo {requests.Current}");
            }
        }
    }
}
