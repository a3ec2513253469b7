// What people build on Kestrel, over the epoll transport: an application with gRPC, SignalR and plain HTTP, and YARP in front of it, two
// servers in one process. --help lists the options; see also javascript/client.js. The tests of the repository serve the same two.
using System.CommandLine;
using System.Net;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using RealStacks;
using Samples;

string[] choices = Enum.GetNames<ServedBy>();
Option<int> firstPort = CommandLine.Number("--port", 5600, 1, 65_532, "The first of four ports");
Option<ServedBy> applicationBy = CommandLine.Choice("--application", ServedBy.Adaptive, choices, "What the application is served by");
Option<ServedBy> proxyBy = CommandLine.Choice("--proxy", ServedBy.Adaptive, choices, "What the proxy is served by");
RootCommand command = new("gRPC, SignalR and plain HTTP, and YARP in front of them, over the epoll transport.") { firstPort, applicationBy, proxyBy };
command.SetAction(RunAsync);
return await command.RunAsync(args);

async Task<int> RunAsync(ParseResult parsed)
{
    int port = parsed.GetValue(firstPort);
    WebApplicationBuilder builder = CreateBuilder(parsed.GetValue(applicationBy), port);
    Application.AddServices(builder.Services);
    await using WebApplication application = builder.Build();
    Application.Map(application);

    builder = CreateBuilder(parsed.GetValue(proxyBy), port + 2);
    ReverseProxy.AddServices(builder.Services, new Uri($"http://127.0.0.1:{port + 1}"));
    await using WebApplication proxy = builder.Build();
    ReverseProxy.Map(proxy);

    await application.StartAsync();
    await proxy.StartAsync();
    Print("application", parsed.GetValue(applicationBy), port);
    Print("proxy in front of it", parsed.GetValue(proxyBy), port + 2);
    Console.WriteLine($"RealStacks, process {Environment.ProcessId}. Ctrl+C stops it.");
    await Task.WhenAll(application.WaitForShutdownAsync(), proxy.WaitForShutdownAsync());
    return 0;
}

// HTTP/1.1 and HTTP/2 have a port each: without TLS there is nothing that would tell which is spoken.
static WebApplicationBuilder CreateBuilder(ServedBy servedBy, int port)
{
    WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();

    // Without the host's own lines: what fails at the start ends as one line.
    builder.Logging.SetMinimumLevel(LogLevel.Warning).AddFilter("Microsoft.Extensions.Hosting", LogLevel.None);
    builder.WebHost.Use(servedBy);
    builder.WebHost.ConfigureKestrel(kestrel =>
    {
        kestrel.Listen(IPAddress.Loopback, port, static listen => listen.Protocols = HttpProtocols.Http1);
        kestrel.Listen(IPAddress.Loopback, port + 1, static listen => listen.Protocols = HttpProtocols.Http2);
    });
    return builder;
}

static void Print(string what, ServedBy servedBy, int port) => Console.WriteLine($"""
      The {what}, served by {servedBy}:
        HTTP/1.1     curl 'http://127.0.0.1:{port}/greet?name=you'
        HTTP/2       curl --http2-prior-knowledge 'http://127.0.0.1:{port + 1}/greet?name=you'
        gRPC         printf '\0\0\0\0\5\12\3you' | curl --silent --http2-prior-knowledge --header 'Content-Type: application/grpc' --header 'TE: trailers' --data-binary @- --output - 'http://127.0.0.1:{port + 1}/stacks.Greeter/Greet' | tr -c '[:print:]' ' '
        SignalR      npm ci --prefix samples/RealStacks/javascript && node samples/RealStacks/javascript/client.js 'http://127.0.0.1:{port}/hub'

    """);
