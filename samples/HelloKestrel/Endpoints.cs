using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Http.Features;

namespace HelloKestrel;

internal sealed record Greeting(string Message);

[JsonSerializable(typeof(Greeting))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
internal sealed partial class HelloJsonContext : JsonSerializerContext;

/// <summary>The application: what every request is answered with, over either transport.</summary>
internal static class Endpoints
{
    private const int ChunkSize = 64 * 1024;

    public static void Map(WebApplication app)
    {
        app.Map("/ws", EchoWebSockets);
        app.MapGet("/", PlaintextAsync);
        app.MapGet("/json", JsonAsync);
        app.MapMethods("/upload", [HttpMethods.Post, HttpMethods.Put], UploadAsync);
        app.MapGet("/bytes", DownloadAsync);
        app.MapGet("/sleep", SleepAsync);
        app.MapGet("/connection", ConnectionAsync);
    }

    private static Task PlaintextAsync(HttpContext context)
    {
        ReadOnlySpan<byte> body = "Hello, World!"u8;
        context.Response.ContentType = "text/plain";
        context.Response.ContentLength = body.Length;
        context.Response.BodyWriter.Write(body);
        return Task.CompletedTask;
    }

    private static Task JsonAsync(HttpContext context) =>
        context.Response.WriteAsJsonAsync(new Greeting("Hello, World!"), HelloJsonContext.Default.Greeting, cancellationToken: context.RequestAborted);

    /// <summary>Answers the SHA-256 of the body. The body is never held: it may be of any size.</summary>
    private static async Task UploadAsync(HttpContext context)
    {
        context.Features.GetRequiredFeature<IHttpMaxRequestBodySizeFeature>().MaxRequestBodySize = null;

        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        PipeReader body = context.Request.BodyReader;
        ReadResult result;
        do
        {
            result = await body.ReadAsync(context.RequestAborted);
            foreach (ReadOnlyMemory<byte> segment in result.Buffer)
            {
                hash.AppendData(segment.Span);
            }

            body.AdvanceTo(result.Buffer.End);
        }
        while (!result.IsCompleted);

        await context.Response.WriteAsync(Convert.ToHexStringLower(hash.GetHashAndReset()) + "\n", context.RequestAborted);
    }

    /// <summary>
    /// Answers ?n= bytes in which every position can be told from every other: the lines that
    /// <c>seq 100000000000000 199999999999999 | head -c N</c> prints.
    /// </summary>
    private static async Task DownloadAsync(HttpContext context)
    {
        if (!long.TryParse(context.Request.Query["n"], NumberStyles.None, CultureInfo.InvariantCulture, out long left))
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            await context.Response.WriteAsync("?n= must be the number of bytes to send.\n", context.RequestAborted);
            return;
        }

        context.Response.ContentType = "application/octet-stream";
        context.Response.ContentLength = left;
        PipeWriter body = context.Response.BodyWriter;
        for (long line = 0; left > 0;)
        {
            int size = (int)Math.Min(left, ChunkSize);
            line = WriteLines(body.GetSpan(ChunkSize), line);
            body.Advance(size);
            left -= size;
            if ((await body.FlushAsync(context.RequestAborted)).IsCompleted)
            {
                return;
            }
        }
    }

    private static long WriteLines(Span<byte> span, long line)
    {
        const long First = 100_000_000_000_000;
        const int Length = 16;
        for (int at = 0; at < ChunkSize; at += Length)
        {
            (First + line++).TryFormat(span[at..], out _, provider: CultureInfo.InvariantCulture);
            span[at + Length - 1] = (byte)'\n';
        }

        return line;
    }

    /// <summary>Blocks its thread for ?ms= milliseconds: the handler that nobody should write and everybody has.</summary>
    private static Task SleepAsync(HttpContext context)
    {
        if (!int.TryParse(context.Request.Query["ms"], NumberStyles.None, CultureInfo.InvariantCulture, out int ms) || ms > 60_000)
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            return context.Response.WriteAsync("?ms= must be from 0 to 60000.\n", context.RequestAborted);
        }

        Thread.Sleep(ms);
        return PlaintextAsync(context);
    }

    /// <summary>Answers who connected to where, and what a proxy in front said of it.</summary>
    private static Task ConnectionAsync(HttpContext context)
    {
        ConnectionInfo connection = context.Connection;
        string text = $"from {connection.RemoteIpAddress}:{connection.RemotePort} to {connection.LocalIpAddress}:{connection.LocalPort}";
        if (context.Features.Get<IProxyProtocolFeature>() is { } proxy)
        {
            text += $", PROXY {proxy.Version}";
            if (proxy.TryGetTlv(ProxyProtocolTlv.UniqueId, out ReadOnlyMemory<byte> id))
            {
                text += $", id {Encoding.UTF8.GetString(id.Span)}";
            }
        }

        return context.Response.WriteAsync(text, context.RequestAborted);
    }

    private static void EchoWebSockets(IApplicationBuilder branch)
    {
        branch.UseWebSockets();
        branch.Run(EchoWebSocketAsync);
    }

    private static async Task EchoWebSocketAsync(HttpContext context)
    {
        if (!context.WebSockets.IsWebSocketRequest)
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            await context.Response.WriteAsync("This is a WebSocket endpoint.\n", context.RequestAborted);
            return;
        }

        using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
        try
        {
            await EchoMessagesAsync(socket, context.RequestAborted);
        }
        catch (WebSocketException e) when (e.WebSocketErrorCode == WebSocketError.ConnectionClosedPrematurely)
        {
            // The client went away without a word; nobody is left to tell.
        }
    }

    private static async Task EchoMessagesAsync(WebSocket socket, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[ChunkSize];
        while (true)
        {
            ValueWebSocketReceiveResult message = await socket.ReceiveAsync(buffer.AsMemory(), cancellationToken);
            if (message.MessageType == WebSocketMessageType.Close)
            {
                await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, statusDescription: null, cancellationToken);
                return;
            }

            await socket.SendAsync(buffer.AsMemory(0, message.Count), message.MessageType, message.EndOfMessage, cancellationToken);
        }
    }
}
