using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Rendering;
using Microsoft.AspNetCore.Components.Web;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Connections;
using Microsoft.AspNetCore.SignalR;
using Microsoft.AspNetCore.SignalR.Client;
using Microsoft.AspNetCore.SignalR.Protocol;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>Blazor Server: a page that is rendered first, and its circuit, by a client that speaks as the browser's script does.</summary>
public partial class BlazorTests
{
    [Theory, AllTransports]
    public async Task Circuit_OfAPage_RendersWhatItsComponentAwaits(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind,
            static app =>
            {
                app.UseAntiforgery();
                app.MapRazorComponents<Page>().AddInteractiveServerRenderMode();
            },
            configure: static builder =>
            {
                builder.Services.AddRazorComponents().AddInteractiveServerComponents();
                builder.Services.AddAntiforgery();
            });
        using HttpClient browser = host.CreateClient();
        string page = await browser.GetStringAsync(host.Address).OrTimeout();
        Assert.Contains("awaited 3", page, StringComparison.Ordinal);
        string marker = WebUtility.HtmlDecode(Marker().Match(page).Groups[1].Value);

        IHubConnectionBuilder builder = new HubConnectionBuilder().WithUrl(new Uri(host.Address, "/_blazor"), HttpTransportType.WebSockets);
        builder.Services.AddSingleton<IHubProtocol, BlazorPack>();
        await using HubConnection circuit = builder.Build();
        Channel<string> batches = Channel.CreateUnbounded<string>();
        circuit.On<int, byte[]>("JS.RenderBatch", async (id, batch) =>
        {
            batches.Writer.TryWrite(Encoding.UTF8.GetString(batch));
            await circuit.SendAsync("OnRenderCompleted", id, null);
        });
        circuit.On<string>("JS.Error", error => batches.Writer.TryComplete(new InvalidOperationException(error)));
        await circuit.StartAsync().OrTimeout();
        string id = await circuit.InvokeAsync<string>("StartCircuit", host.Address.ToString(), host.Address.ToString(), $"[{marker}]", "").OrTimeout();
        Assert.NotEmpty(id);

        string rendered = "";
        while (!rendered.Contains("awaited 3", StringComparison.Ordinal))
        {
            rendered += await batches.Reader.ReadAsync().AsTask().OrTimeout();
        }

        Assert.Contains("awaited 1", rendered, StringComparison.Ordinal);
    }

    [GeneratedRegex("<!--Blazor:({\"type\":\"server\".*?})-->")]
    private static partial Regex Marker();

#pragma warning disable CA1515 // Blazor makes them.
    [Route("/")]
    public sealed class Page : ComponentBase
    {
        protected override void BuildRenderTree(RenderTreeBuilder builder)
        {
            builder.AddMarkupContent(0, "<!DOCTYPE html><html><body>");
            builder.OpenComponent<Awaiting>(1);
            builder.AddComponentRenderMode(RenderMode.InteractiveServer);
            builder.CloseComponent();
            builder.AddMarkupContent(2, "</body></html>");
        }
    }

    public sealed class Awaiting : ComponentBase
#pragma warning restore CA1515
    {
        private int _awaited;

        protected override async Task OnInitializedAsync()
        {
            for (int i = 0; i < 3; i++)
            {
                await Task.Delay(1);
                _awaited++;
                StateHasChanged();
            }
        }

        protected override void BuildRenderTree(RenderTreeBuilder builder) => builder.AddContent(0, $"awaited {_awaited}");
    }

    /// <summary>What circuits speak: MessagePack under a name of its own.</summary>
    [SuppressMessage("Performance", "CA1812", Justification = "The container makes it.")]
    private sealed class BlazorPack : IHubProtocol
    {
        private readonly MessagePackHubProtocol _inner = new();

        public string Name => "blazorpack";

        public int Version => 1;

        public TransferFormat TransferFormat => TransferFormat.Binary;

        public bool IsVersionSupported(int version) => version <= 1;

        public ReadOnlyMemory<byte> GetMessageBytes(HubMessage message) => _inner.GetMessageBytes(message);

        public void WriteMessage(HubMessage message, IBufferWriter<byte> output) => _inner.WriteMessage(message, output);

        public bool TryParseMessage(ref ReadOnlySequence<byte> input, IInvocationBinder binder, [NotNullWhen(true)] out HubMessage? message) =>
            _inner.TryParseMessage(ref input, binder, out message);
    }
}
