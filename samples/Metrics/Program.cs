// The transport's metrics, collected by OpenTelemetry's SDK: printed, or sent to a collector or to Prometheus. docs/metrics.md says what they mean.
using System.CommandLine;
using System.Net;
using KestrelEpollTransport;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using Samples;

Option<int> port = CommandLine.Number("--port", 5060, 0, 65_535, "Where the application is served, on 127.0.0.1; 0: any that is free");
Option<int> every = CommandLine.Number("--every", 10, 1, 3_600, "Seconds between two exports");
Option<string> otlp = new Option<string>("--otlp")
{
    HelpName = "URL",
    Description = """
        Sends them there by OTLP over HTTP, instead of printing them:
        http://127.0.0.1:4318/v1/metrics is an OpenTelemetry collector,
        http://127.0.0.1:9090/api/v1/otlp/v1/metrics Prometheus 3, started with --web.enable-otlp-receiver
        """,
}.Take("a URL, such as http://127.0.0.1:4318/v1/metrics", static text => Uri.TryCreate(text, UriKind.Absolute, out Uri? url) && url.Scheme is "http" or "https");
RootCommand command = new("The transport's metrics, collected by OpenTelemetry.") { port, every, otlp };
command.SetAction(RunAsync);
return await command.RunAsync(args);

async Task<int> RunAsync(ParseResult parsed)
{
    WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
    builder.Logging.SetMinimumLevel(LogLevel.Warning);

    // What fails at the start ends as one line.
    builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
    builder.WebHost.UseEpollTransport();
    builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, parsed.GetValue(port)));
    int everyMs = parsed.GetValue(every) * 1_000;
    string? url = parsed.GetValue(otlp);
    builder.Services.AddOpenTelemetry().WithMetrics(metrics =>
    {
        // In an application of your own these two lines are all there is to write, beside the exporter that it has.
        metrics.AddMeter("KestrelEpollTransport");
        metrics.AddMeter("Microsoft.AspNetCore.Server.Kestrel");
        if (url is not null)
        {
            metrics.AddOtlpExporter((exporter, reader) =>
            {
                exporter.Endpoint = new Uri(url);
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

    await app.StartAsync();
    string address = app.Urls.First();
    Console.WriteLine($"""
        Metrics go to {url ?? "this terminal"}, every {parsed.GetValue(every)} s. Ctrl+C stops it.
          curl '{address}/hello'
          curl '{address}/block?ms=20'
        """);
    await app.WaitForShutdownAsync();
    return 0;
}
