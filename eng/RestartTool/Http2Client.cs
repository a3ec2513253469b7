using System.Net;
using System.Net.Sockets;

namespace RestartTool;

/// <summary>HTTP/2 on one connection, by .NET's client, which sends a request again only where GOAWAY said that it was not processed.</summary>
internal sealed class Http2Client : Client
{
    private readonly HttpClient _http;

    public Http2Client(Figures figures, IPEndPoint server)
        : base(figures, server)
    {
        var handler = new SocketsHttpHandler { ConnectCallback = async (_, stop) => await ConnectAsync(stop) };
        _http = new HttpClient(handler)
        {
            BaseAddress = new Uri($"http://{server}/"),
            DefaultRequestVersion = HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
    }

    public override void Dispose()
    {
        _http.Dispose();
        base.Dispose();
    }

    protected override async Task AskAsync(CancellationToken timeout)
    {
        await _http.GetStringAsync(_http.BaseAddress, timeout);
        Figures.NoteAnswer();
    }

    // The handler finds a connection that is gone, and makes another one.
    protected override void Drop()
    {
    }

    private async Task<Stream> ConnectAsync(CancellationToken stop)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(Server, stop);
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        Figures.NoteConnection();
        return new NetworkStream(socket, ownsSocket: true);
    }
}
