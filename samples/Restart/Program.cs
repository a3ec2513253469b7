// A server that is replaced while it serves, without a request that fails: kill -HUP starts its successor with the listening sockets
// inherited; when that one serves, this one drains and ends. Also for systemd's socket activation. See docs/restart.md.
using System.CommandLine;
using System.Net;
using System.Runtime.InteropServices;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Restart;
using Samples;

Option<int> firstPort = CommandLine.Number("--port", 5090, 1, 65_534, "HTTP/1.1 and WebSockets there, HTTP/2 without TLS on the next one");
Option<string> unix = new("--unix") { HelpName = "PATH", Description = "HTTP/1.1 there, too" };
Option<int> drain = CommandLine.Number("--drain", 5, 0, 3_600, "How many seconds connections in use have for another request");
Option<bool> reusePort = new("--reuse-port")
{
    Description = """
        Every process has listening sockets of its own on the same port (SO_REUSEPORT): start the next one yourself, then end this one.
        Without it nobody who connects is lost
        """,
};
RootCommand command = new("A server that \"kill -HUP\" replaces by the next process without a lost request.") { firstPort, unix, drain, reusePort };
command.SetAction(RunAsync);
return await command.RunAsync(args);

async Task<int> RunAsync(ParseResult parsed)
{
    var builder = WebApplication.CreateSlimBuilder(args);
    builder.Logging.SetMinimumLevel(LogLevel.Warning);

    // What fails at the start ends as one line.
    builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
    int port = parsed.GetValue(firstPort);
    string? unixPath = parsed.GetValue(unix);

    builder.WebHost.UseEpollTransport(options =>
    {
        if (parsed.GetValue(reusePort))
        {
            options.CreateBoundListenSocket = SharedPort.CreateBoundListenSocket;
        }
    });
    builder.WebHost.ConfigureKestrel(kestrel =>
    {
        kestrel.Listen(IPAddress.Loopback, port, static listen => listen.Protocols = HttpProtocols.Http1);
        kestrel.Listen(IPAddress.Loopback, port + 1, static listen => listen.Protocols = HttpProtocols.Http2);
        if (unixPath is not null)
        {
            kestrel.ListenUnixSocket(unixPath);
        }
    });

    // These two lines are what a restart needs.
    builder.Services.AddListenerHandover();
    builder.Services.AddConnectionDraining(options => options.Timeout = TimeSpan.FromSeconds(parsed.GetValue(drain)));

    var app = builder.Build();
    app.UseWebSockets();
    app.MapGet("/", static () => $"process {Environment.ProcessId}\n");
    app.MapGet("/slow", static async () =>
    {
        await Task.Delay(TimeSpan.FromSeconds(1));
        return $"process {Environment.ProcessId}\n";
    });
    app.MapGet("/echo", EchoSocket.ServeAsync);

    await app.StartAsync();
    // A successor is not in the terminal's foreground any more, so Ctrl+C does not reach it.
    Console.WriteLine($"""
        process {Environment.ProcessId} serves. kill -HUP {Environment.ProcessId} replaces it, kill {Environment.ProcessId} stops it. Ctrl+C stops it only if it is the first.
          curl http://127.0.0.1:{port}/slow
        """);

    var successors = new Successors(app.Services.GetRequiredService<ListenerHandover>(), app.Lifetime, args);
    using (PosixSignalRegistration.Create(PosixSignal.SIGHUP, successors.OnSignal))
    {
        await app.WaitForShutdownAsync();
    }

    Console.WriteLine($"process {Environment.ProcessId} ended.");
    return 0;
}
