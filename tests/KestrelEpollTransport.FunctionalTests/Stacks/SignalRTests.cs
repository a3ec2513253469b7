using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http.Connections;
using Microsoft.AspNetCore.SignalR;
using Microsoft.AspNetCore.SignalR.Client;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>Hubs over each of SignalR's own transports.</summary>
public class SignalRTests
{
    [Theory]
    [AllTransports(HttpTransportType.WebSockets), AllTransports(HttpTransportType.ServerSentEvents), AllTransports(HttpTransportType.LongPolling)]
    public async Task Hub_CalledAndStreaming_Answers(TransportKind kind, HttpTransportType transport)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind, static app => app.MapHub<EchoHub>("/hub"), configure: static builder => builder.Services.AddSignalR());
        await using HubConnection client = new HubConnectionBuilder().WithUrl(new Uri(host.Address, "/hub"), transport).Build();
        Channel<string> heard = Channel.CreateUnbounded<string>();
        client.On<string>("heard", text => heard.Writer.TryWrite(text));
        await client.StartAsync().OrTimeout();

        for (int i = 0; i < 10; i++)
        {
            Assert.Equal($"echo {i}", await client.InvokeAsync<string>(nameof(EchoHub.EchoAsync), $"{i}").OrTimeout());
            Assert.Equal($"{i}", await heard.Reader.ReadAsync().OrTimeout());
        }

        List<int> numbers = [];
        await foreach (int number in client.StreamAsync<int>(nameof(EchoHub.CountAsync), 10))
        {
            numbers.Add(number);
        }

        Assert.Equal(Enumerable.Range(0, 10), numbers);
        HubException error = await Assert.ThrowsAsync<HubException>(() => client.InvokeAsync(nameof(EchoHub.FailAsync)).OrTimeout());
        Assert.Contains("of the hub", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task HubMethods_WithContinuationsScheduled_StayOnTheThreadPool()
    {
        // SignalR yields to the pool by itself, before it calls a hub.
        await using KestrelHost host = await KestrelHost.StartAsync(
            TransportKind.EpollContinuations, static app => app.MapHub<EchoHub>("/hub"), configure: static builder => builder.Services.AddSignalR());
        await using HubConnection client = new HubConnectionBuilder().WithUrl(new Uri(host.Address, "/hub")).Build();
        await client.StartAsync().OrTimeout();

        Assert.Matches("^[.]NET TP Worker under none$", await client.InvokeAsync<string>(nameof(EchoHub.NameThreadAsync)).OrTimeout());
    }

#pragma warning disable CA1515 // SignalR makes it.
    public sealed class EchoHub : Hub
#pragma warning restore CA1515
    {
        public async Task<string> EchoAsync(string text)
        {
            await Task.Delay(1);
            await Clients.Caller.SendAsync("heard", text);
            return $"echo {text}";
        }

#pragma warning disable CA1822 // Hub methods are of an instance.
        public async IAsyncEnumerable<int> CountAsync(int count)
        {
            for (int i = 0; i < count; i++)
            {
                await Task.Delay(1);
                yield return i;
            }
        }

        public async Task FailAsync()
        {
            await Task.Yield();
            throw new HubException("of the hub");
        }

        public async Task<string> NameThreadAsync()
        {
            await Task.Delay(1);
            return $"{Thread.CurrentThread.Name} under {SynchronizationContext.Current?.ToString() ?? "none"}";
        }
#pragma warning restore CA1822
    }
}
