using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text.Json.Serialization;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace TransportBench.Servers;

internal sealed record Greeting(string Message);

[JsonSerializable(typeof(Greeting))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
internal sealed partial class HandlersJsonContext : JsonSerializerContext;

/// <summary>The application: what a request is answered with, over whichever transport.</summary>
internal static class Handlers
{
    private static readonly byte[] s_chunk = new byte[64 * 1024];
    private static readonly HttpClient s_client = new();

    /// <summary>What is before the number of <see cref="TellQueueing"/>.</summary>
    public static ReadOnlySpan<byte> QueueingHeader => "\r\nQueueing: "u8;

    public static void Map(WebApplication application)
    {
        application.MapGet(Paths.Plaintext, PlaintextAsync);
        application.MapGet(Paths.Json, JsonAsync);
        application.MapPost(Paths.Upload, UploadAsync);
        application.MapGet(Paths.Download, DownloadAsync);
        application.MapGet(Paths.Sleep, SleepAsync);
        application.MapGet(Paths.Burn, BurnAsync);
        application.MapGet(Paths.AwaitAndSleep, AwaitAndSleepAsync);
        application.MapGet(Paths.Delay, DelayAsync);
        application.MapGet(Paths.Yield, YieldAsync);
        application.MapGet(Paths.Fetch, FetchAsync);
        application.Map(Paths.WebSocket, WebSocketEcho.Map);
    }

    private static Task PlaintextAsync(HttpContext context)
    {
        ReadOnlySpan<byte> body = "Hello, World!"u8;
        context.Response.ContentType = "text/plain";
        context.Response.ContentLength = body.Length;
        context.Response.BodyWriter.Write(body);
        return Task.CompletedTask;
    }

    private static Task JsonAsync(HttpContext context) => context.Response.WriteAsJsonAsync(
        new Greeting("Hello, World!"), HandlersJsonContext.Default.Greeting, cancellationToken: context.RequestAborted);

    /// <summary>Answers the number of bytes of the body.</summary>
    private static async Task UploadAsync(HttpContext context)
    {
        PipeReader body = context.Request.BodyReader;
        long bytes = 0;
        ReadResult result;
        do
        {
            result = await body.ReadAsync(context.RequestAborted);
            bytes += result.Buffer.Length;
            body.AdvanceTo(result.Buffer.End);
        }
        while (!result.IsCompleted);

        await context.Response.WriteAsync(bytes.ToString(CultureInfo.InvariantCulture), context.RequestAborted);
    }

    private static async Task DownloadAsync(HttpContext context)
    {
        int left = Number(context);
        context.Response.ContentLength = left;
        PipeWriter body = context.Response.BodyWriter;
        while (left > 0)
        {
            int size = Math.Min(left, s_chunk.Length);
            body.Write(s_chunk.AsSpan(0, size));
            left -= size;
            if ((await body.FlushAsync(context.RequestAborted)).IsCompleted)
            {
                // The load has ended. Aborted, or Kestrel may take what is missing for a fault of this handler, and log it.
                context.Abort();
                return;
            }
        }
    }

    /// <summary>Blocks its thread for ?n= milliseconds: the handler that nobody should write and everybody has.</summary>
    private static Task SleepAsync(HttpContext context)
    {
        Thread.Sleep(Number(context));
        return PlaintextAsync(context);
    }

    /// <summary>Awaits something, as real handlers do, and then blocks for ?n= milliseconds.</summary>
    private static async Task AwaitAndSleepAsync(HttpContext context)
    {
        await Task.Delay(1);
        Thread.Sleep(Number(context));
        await PlaintextAsync(context);
    }

    /// <summary>Awaits a timer of ?n= milliseconds.</summary>
    private static async Task DelayAsync(HttpContext context)
    {
        await Task.Delay(Number(context));
        await PlaintextAsync(context);
    }

    /// <summary>Goes to the end of the line ?n= times.</summary>
    private static async Task YieldAsync(HttpContext context)
    {
        for (int left = Number(context); left > 0; left--)
        {
            await Task.Yield();
        }

        await PlaintextAsync(context);
    }

    /// <summary>Blocks until another server, on the port ?n=, has answered: synchronous code over asynchronous.</summary>
    private static Task FetchAsync(HttpContext context)
    {
        string answer = s_client.GetStringAsync(new Uri($"http://127.0.0.1:{Number(context)}{Paths.Plaintext}")).Result;
        return context.Response.WriteAsync(answer, context.RequestAborted);
    }

    /// <summary>Keeps a processor busy for ?n= units of <see cref="ProcessorWork"/>.</summary>
    private static Task BurnAsync(HttpContext context)
    {
        TellQueueing(context);
        ProcessorWork.Do(Number(context));
        return PlaintextAsync(context);
    }

    /// <summary>Where it is asked for, ?queueing, answers with how long the request waited, in microseconds.</summary>
    private static void TellQueueing(HttpContext context)
    {
        if (context.Request.Query.ContainsKey("queueing"))
        {
            double microseconds = context.Features.Get<IQueueingDelayFeature>()!.Delay.TotalMicroseconds;
            context.Response.Headers["Queueing"] = ((long)microseconds).ToString(CultureInfo.InvariantCulture);
        }
    }

    private static int Number(HttpContext context) =>
        int.Parse(context.Request.Query["n"].ToString(), CultureInfo.InvariantCulture);
}
