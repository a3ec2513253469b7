// A protocol of one's own over the epoll transport in a generic host, without ASP.NET Core: what a client sends
// comes back. Server and client are both here; each is a PipeReader and a PipeWriter over a connection.
using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using EchoServer;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Samples;

Option<int> port = CommandLine.Number("--port", 7000, 0, 65_535, "A TCP port of this machine; 0: any that is free");
Option<string> unix = new("--unix") { HelpName = "PATH", Description = "A unix socket instead" };
Command client = new("client", "Sends the lines you type and prints what comes back") { port, unix };
RootCommand command = new("Sends back what it receives.") { port, unix, client };
client.SetAction(RunAsync);
command.SetAction(RunAsync);
return await command.RunAsync(args);

async Task<int> RunAsync(ParseResult parsed)
{
    HostApplicationBuilder builder = Host.CreateApplicationBuilder();

    // What fails at the start ends as one line.
    builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);

    // For the client: registers IConnectionFactory. AddEpollServer, below, would add it by itself.
    builder.Services.AddEpollTransport();

    EndPoint endpoint = parsed.GetValue(unix) is { } path
        ? new UnixDomainSocketEndPoint(path)
        : new IPEndPoint(IPAddress.Loopback, parsed.GetValue(port));

    if (parsed.CommandResult.Command == client)
    {
        using IHost host = builder.Build();
        return await EchoClient.RunAsync(host.Services.GetRequiredService<IConnectionFactory>(), endpoint);
    }

    builder.Services.AddEpollServer(server => server.Listen(endpoint, connections => connections
        .UseConnectionLimits(limits => limits.IdleTimeout = TimeSpan.FromMinutes(10))
        .UseConnectionHandler<EchoHandler>()));

    using IHost server = builder.Build();
    await server.StartAsync();
    EndPoint bound = server.Services.GetRequiredService<EpollServer>().EndPoints[0];
    (string option, string address) = bound is IPEndPoint ip ? ($"--port {ip.Port}", $"{ip.Address} {ip.Port}") : ($"--unix {bound}", $"-U {bound}");
    Console.WriteLine($"""
        Ctrl+C stops it. To try it:
          dotnet run -c Release --project samples/EchoServer -- client {option}
          nc {address}
        """);
    await server.WaitForShutdownAsync();
    return 0;
}
