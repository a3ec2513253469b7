using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http.Connections;
using Microsoft.AspNetCore.SignalR;
using Microsoft.AspNetCore.SignalR.Client;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>The hub of samples/RealStacks over each of SignalR's own transports. eng/ci/stacks.sh asks it with the JavaScript client.</summary>
public class SignalRTests
{
    [Theory]
    [AllTransports(HttpTransportType.WebSockets), AllTransports(HttpTransportType.ServerSentEvents), AllTransports(HttpTransportType.LongPolling)]
    public async Task Hub_CalledAndStreaming_Answers(TransportKind kind, HttpTransportType transport)
    {
        await using KestrelHost host = await StackPair.StartApplicationAsync(kind);

        await GreeterHubCalls.AssertAnsweredAsync(host, transport, HttpVersion.Version11);
        host.AssertTransportWasCalm();
    }

    [Fact]
    public async Task HubMethods_WithContinuationsScheduled_StayOnTheThreadPool()
    {
        // SignalR yields to the pool by itself, before it calls a hub.
        await using KestrelHost host = await KestrelHost.StartAsync(
            TransportKind.EpollContinuations, static app => app.MapHub<ThreadHub>("/hub"), configure: static builder => builder.Services.AddSignalR());
        await using HubConnection client = new HubConnectionBuilder().WithUrl(new Uri(host.Address, "/hub")).Build();
        await client.StartAsync().OrTimeout();

        Assert.Matches("^[.]NET TP Worker under none$", await client.InvokeAsync<string>(nameof(ThreadHub.NameThreadAsync)).OrTimeout());
    }

#pragma warning disable CA1515 // SignalR makes it.
    public sealed class ThreadHub : Hub
#pragma warning restore CA1515
    {
#pragma warning disable CA1822 // Hub methods are of an instance.
        public async Task<string> NameThreadAsync()
        {
            await Task.Delay(1);
            return $"{Thread.CurrentThread.Name} under {SynchronizationContext.Current?.ToString() ?? "none"}";
        }
#pragma warning restore CA1822
    }
}
