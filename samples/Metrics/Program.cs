// The transport's metrics, collected by OpenTelemetry's SDK: printed, or sent to a collector or to Prometheus. docs/metrics.md says what they mean.
using System.Globalization;
using System.Net;
using KestrelEpollTransport;
using Metrics;
using Microsoft.AspNetCore.Connections;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;

if (!MetricsOptions.TryParse(args, out MetricsOptions? options, out string? problem))
{
    TextWriter to = problem is null ? Console.Out : Console.Error;
    to.WriteLine(problem ?? MetricsOptions.Help);
    return problem is null ? 0 : 2;
}

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None); // A port in use is said below, in one line.
builder.WebHost.UseEpollTransport();
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, options.Port));
builder.Services.AddOpenTelemetry().WithMetrics(metrics =>
{
    // In an application of your own these two lines are all there is to write, beside the exporter that it has.
    metrics.AddMeter("KestrelEpollTransport");
    metrics.AddMeter("Microsoft.AspNetCore.Server.Kestrel");
    int everyMs = options.EverySeconds * 1_000;
    if (options.Otlp is { } otlp)
    {
        metrics.AddOtlpExporter((exporter, reader) =>
        {
            exporter.Endpoint = otlp;
            exporter.Protocol = OtlpExportProtocol.HttpProtobuf;
            reader.PeriodicExportingMetricReaderOptions.ExportIntervalMilliseconds = everyMs;
        });
    }
    else
    {
        metrics.AddConsoleExporter((_, reader) => reader.PeriodicExportingMetricReaderOptions.ExportIntervalMilliseconds = everyMs);
    }
});
WebApplication app = builder.Build();
app.MapGet("/hello", static () => "Hello, World!\n");
app.MapGet("/block", static (int ms) =>
{
    // What nobody should write and everybody has: see hand_offs, demotions and workers.
    Thread.Sleep(Math.Clamp(ms, 0, 1_000));
    return "That took a while.\n";
});

try
{
    await app.StartAsync();
}
catch (IOException exception) when (exception.InnerException is AddressInUseException)
{
    Console.Error.WriteLine($"Port {options.Port} is in use. --port takes another one; 0 any that is free.");
    return 1;
}

string address = app.Urls.First();
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"""
    Metrics go to {options.Otlp?.ToString() ?? "this terminal"}, every {options.EverySeconds} s. Ctrl+C ends it.
      curl '{address}/hello'
      curl '{address}/block?ms=20'
    """));
await app.WaitForShutdownAsync();
return 0;
