// What people build on Kestrel, over the epoll transport: an application with gRPC, SignalR and plain HTTP, and YARP in front of it, two
// servers in one process. --help lists the options; see also javascript/client.js. The tests of the repository serve the same two.
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using RealStacks;

return await Arguments.RunAsync(args, static async arguments =>
{
    WebApplicationBuilder builder = CreateBuilder(arguments.Application, arguments.Port);
    Application.AddServices(builder.Services);
    await using WebApplication application = builder.Build();
    Application.Map(application);

    builder = CreateBuilder(arguments.Proxy, arguments.Port + 2);
    ReverseProxy.AddServices(builder.Services, new Uri($"http://127.0.0.1:{arguments.Port + 1}"));
    await using WebApplication proxy = builder.Build();
    ReverseProxy.Map(proxy);

    try
    {
        await application.StartAsync();
        await proxy.StartAsync();
    }
    catch (Exception exception) when (exception is IOException or SocketException)
    {
        // Kestrel's own words for a port that is in use, and the system's for one that may not be used.
        Console.Error.WriteLine(exception.Message);
        return 1;
    }

    PrintWhatToAsk(arguments);
    await Task.WhenAll(application.WaitForShutdownAsync(), proxy.WaitForShutdownAsync());
    return 0;
});

// HTTP/1.1 and HTTP/2 have a port each: without TLS there is nothing that would tell which is spoken.
static WebApplicationBuilder CreateBuilder(ServedBy servedBy, int port)
{
    WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
    // The second filter: what keeps a host from starting is printed above, and in one line.
    builder.Logging.SetMinimumLevel(LogLevel.Warning).AddFilter("Microsoft.Extensions.Hosting", LogLevel.None);
    builder.WebHost.Use(servedBy);
    builder.WebHost.ConfigureKestrel(kestrel =>
    {
        kestrel.Listen(IPAddress.Loopback, port, static listen => listen.Protocols = HttpProtocols.Http1);
        kestrel.Listen(IPAddress.Loopback, port + 1, static listen => listen.Protocols = HttpProtocols.Http2);
    });
    return builder;
}

static void PrintWhatToAsk(Arguments arguments)
{
    Print("application", arguments.Application, arguments.Port);
    Print("proxy in front of it", arguments.Proxy, arguments.Port + 2);
    Console.WriteLine($"RealStacks, process {Environment.ProcessId}. Ctrl+C stops it.");

    static void Print(string what, ServedBy servedBy, int port) => Console.WriteLine($"""
          The {what}, served by {servedBy}:
            HTTP/1.1     curl 'http://127.0.0.1:{port}/greet?name=you'
            HTTP/2       curl --http2-prior-knowledge 'http://127.0.0.1:{port + 1}/greet?name=you'
            gRPC         printf '\0\0\0\0\5\12\3you' | curl --silent --http2-prior-knowledge --header 'Content-Type: application/grpc' --header 'TE: trailers' --data-binary @- --output - 'http://127.0.0.1:{port + 1}/stacks.Greeter/Greet' | tr -c '[:print:]' ' '
            SignalR      node samples/RealStacks/javascript/client.js 'http://127.0.0.1:{port}/hub'

        """);
}
