using System.Net;
using System.Threading.Channels;
using Microsoft.AspNetCore.Http.Connections;
using Microsoft.AspNetCore.SignalR;
using Microsoft.AspNetCore.SignalR.Client;
using RealStacks;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>Calls of the hub of samples/RealStacks.</summary>
internal static class GreeterHubCalls
{
    /// <summary>Calls in both directions, streams in both directions, and what goes wrong.</summary>
    public static async Task AssertAnsweredAsync(KestrelHost host, HttpTransportType transport, Version version)
    {
        await using HubConnection client = new HubConnectionBuilder().WithUrl(new Uri(host.Address, "/hub"), transport, options =>
        {
            options.HttpMessageHandlerFactory = _ => new ExactVersion(version) { InnerHandler = KestrelHost.CreateHandler() };
            options.WebSocketConfiguration = socket =>
            {
                socket.HttpVersion = version;
                socket.HttpVersionPolicy = HttpVersionPolicy.RequestVersionExact;
                if (version == HttpVersion.Version11)
                {
                    // By HTTP/2 it goes through the handler above.
                    socket.RemoteCertificateValidationCallback = KestrelHost.IsTrusted;
                }
            };
        }).Build();
        Channel<string> heard = Channel.CreateUnbounded<string>();
        client.On<string>("greeted", name => heard.Writer.TryWrite(name));
        await client.StartAsync().OrTimeout();

        foreach (string name in new[] { "a", "b", new string('x', 20_000) })
        {
            Assert.Equal($"Hello, {name}!", await client.InvokeAsync<string>(nameof(GreeterHub.Greet), name).OrTimeout());
            Assert.Equal(name, await heard.Reader.ReadAsync().OrTimeout());
        }

        List<int> numbers = [];
        using (var limit = new CancellationTokenSource(Timeouts.Limit))
        {
            await foreach (int number in client.StreamAsync<int>(nameof(GreeterHub.Count), 10, limit.Token))
            {
                numbers.Add(number);
            }
        }

        Assert.Equal(Enumerable.Range(0, 10), numbers);
        Assert.Equal(45, await client.InvokeAsync<int>(nameof(GreeterHub.Sum), numbers.ToAsyncEnumerable()).OrTimeout());
        HubException error = await Assert.ThrowsAsync<HubException>(() => client.InvokeAsync(nameof(GreeterHub.Greet), "").OrTimeout());
        Assert.Contains("A name is needed.", error.Message, StringComparison.Ordinal);
        await client.StopAsync().OrTimeout();
    }

    /// <summary>SignalR asks with the version it likes.</summary>
    private sealed class ExactVersion(Version version) : DelegatingHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            request.Version = version;
            request.VersionPolicy = HttpVersionPolicy.RequestVersionExact;
            return base.SendAsync(request, cancellationToken);
        }
    }
}
