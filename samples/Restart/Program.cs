// A server that is replaced while it serves, without a request that fails: kill -HUP starts its successor with the listening sockets
// inherited; when that one serves, this one drains and ends. Also for systemd's socket activation. See docs/restart.md.
using System.Net;
using System.Runtime.InteropServices;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Restart;
using Samples;

return await CommandLine.RunAsync(args, """
    Restart is a server that "kill -HUP" replaces by the next process without a lost request. Options, all optional:

      --port N             HTTP/1.1 and WebSockets there, HTTP/2 without TLS on the next one; 5090 is the default
      --unix PATH          HTTP/1.1 there, too
      --drain SECONDS      how long connections in use have for another request; 5 is the default
      --reuse-port true    every process has listening sockets of its own on the same port (SO_REUSEPORT): start the next one
                           yourself, then end this one. Without it nobody who connects is lost
    """, RunAsync);

async Task<int> RunAsync()
{
    var builder = WebApplication.CreateSlimBuilder(args);
    builder.Logging.SetMinimumLevel(LogLevel.Warning);

    // What fails at the start ends as one line.
    builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
    int port = builder.Configuration.GetValue("port", 5090);
    string? unixPath = builder.Configuration["unix"];
    bool reusesPort = builder.Configuration.GetValue("reuse-port", false);

    builder.WebHost.UseEpollTransport(options =>
    {
        if (reusesPort)
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
    builder.Services.AddConnectionDraining(options => options.Timeout = TimeSpan.FromSeconds(builder.Configuration.GetValue("drain", 5.0)));

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
    Console.WriteLine($"process {Environment.ProcessId} serves on port {port} (curl http://127.0.0.1:{port}/slow). kill -HUP {Environment.ProcessId} replaces it, Ctrl+C ends it.");

    var successors = new Successors(app.Services.GetRequiredService<ListenerHandover>(), app.Lifetime, args);
    using (PosixSignalRegistration.Create(PosixSignal.SIGHUP, successors.OnSignal))
    {
        await app.WaitForShutdownAsync();
    }

    Console.WriteLine($"process {Environment.ProcessId} ended.");
    return 0;
}
