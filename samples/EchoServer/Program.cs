// A protocol of one's own over the epoll transport in a generic host, without ASP.NET Core: what a client sends
// comes back. Server and client are both here; each is a PipeReader and a PipeWriter over a connection.
using System.Net;
using System.Net.Sockets;
using EchoServer;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Samples;

bool isClient = args is ["client", ..];
return await CommandLine.RunAsync(isClient ? args[1..] : args, """
    EchoServer sends back what it receives.

      dotnet run --project samples/EchoServer                  the server
      dotnet run --project samples/EchoServer -- client        sends the lines you type and prints what comes back

    Options of both:

      --port N       a TCP port of this machine; 7000 is the default
      --unix PATH    a unix socket instead
    """, RunAsync);

async Task<int> RunAsync()
{
    HostApplicationBuilder builder = Host.CreateApplicationBuilder(args);

    // What fails at the start ends as one line.
    builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);

    // Registers IConnectionListenerFactory for servers and IConnectionFactory for clients.
    builder.Services.AddEpollTransport();

    EndPoint endpoint = builder.Configuration["unix"] is { Length: > 0 } path
        ? new UnixDomainSocketEndPoint(path)
        : new IPEndPoint(IPAddress.Loopback, builder.Configuration.GetValue("port", 7000));

    if (isClient)
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
          dotnet run --project samples/EchoServer -- client {option}
          nc {address}
        """);
    await server.WaitForShutdownAsync();
    return 0;
}
