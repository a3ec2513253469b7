// A page that draws the event loops it is served by, live: busy time, queueing delay, connections, dispatches, hand-offs and workers. The
// figures are those of the meter KestrelEpollTransport, sent to the page by server-sent events.
using System.CommandLine;
using System.Globalization;
using System.Net;
using KestrelEpollTransport;
using LoopDashboard;
using Samples;

Option<int> port = CommandLine.Number("--port", 5070, 0, 65_535, "Where, on 127.0.0.1; 0: any that is free");
Option<int?> loops = CommandLine.Number<int?>("--loops", null, 1, EpollTransportOptions.MaxLoopCount, "How many event loops; without it, the transport's default");
Option<bool> load = new("--load") { Description = "Asks itself for cheap and for blocking requests, so that there is something to see" };
RootCommand command = new("A page that draws the event loops it is served by.") { port, loops, load };
command.SetAction(RunAsync);
return await command.RunAsync(args);

async Task<int> RunAsync(ParseResult parsed)
{
    WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
    builder.Logging.SetMinimumLevel(LogLevel.Warning);

    // What fails at the start ends as one line.
    builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
    builder.WebHost.UseEpollTransport(transport => transport.LoopCount = parsed.GetValue(loops) ?? transport.LoopCount);
    builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, parsed.GetValue(port)));
    builder.Services.AddSingleton<Sampler>();
    builder.Services.AddHostedService(static services => services.GetRequiredService<Sampler>());
    WebApplication app = builder.Build();

    app.UseDefaultFiles();
    app.UseStaticFiles();
    app.MapGet("/events", static (Sampler sampler, CancellationToken aborted) =>
        TypedResults.ServerSentEvents(sampler.ReadAsync(aborted), eventType: "sample"));

    // Something to do for the loops: what is cheap, and what blocks its thread and should not.
    app.MapGet("/hello", static () => "Hello, World!\n");
    app.MapGet("/block", static (int ms) =>
    {
        Thread.Sleep(Math.Clamp(ms, 0, 1_000));
        return "That took a while.\n";
    });

    await app.StartAsync();
    Uri address = new(app.Urls.First());
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"""
        LoopDashboard draws its loops at {address}. Ctrl+C stops it.
          curl '{address}hello'
          curl '{address}block?ms=20'
          curl --silent --no-buffer '{address}events' | head -n 2
        """));

    if (parsed.GetValue(load))
    {
        _ = Load.RunAsync(address, app.Lifetime.ApplicationStopping);
    }

    await app.WaitForShutdownAsync();
    return 0;
}
