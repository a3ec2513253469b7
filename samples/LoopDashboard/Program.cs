// A page that draws the event loops it is served by, live: busy time, queueing delay, connections, dispatches, hand-overs and workers. The
// figures are those of the meter KestrelEpollTransport, sent to the page by server-sent events.
using System.Globalization;
using System.Net;
using KestrelEpollTransport;
using LoopDashboard;
using Microsoft.AspNetCore.Connections;

if (!DashboardOptions.TryParse(args, out DashboardOptions? options, out string? problem))
{
    TextWriter to = problem is null ? Console.Out : Console.Error;
    to.WriteLine(problem ?? DashboardOptions.Help);
    return problem is null ? 0 : 2;
}

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None); // A port in use is said below, in one line.
builder.WebHost.UseEpollTransport(transport => transport.LoopCount = options.Loops ?? transport.LoopCount);
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, options.Port));
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

try
{
    await app.StartAsync();
}
catch (IOException exception) when (exception.InnerException is AddressInUseException)
{
    Console.Error.WriteLine($"Port {options.Port} is in use. --port takes another one; 0 any that is free.");
    return 1;
}

Uri address = new(app.Urls.First());
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"""
    LoopDashboard draws its loops at {address}. Ctrl+C ends it.
      curl '{address}hello'
      curl '{address}block?ms=20'
      curl --no-buffer --max-time 2 '{address}events'
    """));

if (options.Load)
{
    _ = Load.RunAsync(address, app.Lifetime.ApplicationStopping);
}

await app.WaitForShutdownAsync();
return 0;
