// The smallest web application over the epoll transport, and a little more than the smallest so that every way
// Kestrel moves bytes can be tried with curl.
using System.Net;
using HelloKestrel;
using KestrelEpollTransport;
using Samples;

return await CommandLine.RunAsync(args, """
    HelloKestrel serves HTTP/1.1, HTTP/2, HTTPS and a unix socket over the epoll transport. Options, all optional:

      --urls URL;URL                  binds exactly these (also ASPNETCORE_URLS), instead of one endpoint of each kind
      --transport epoll|sockets       sockets: Kestrel's stock transport, to compare with
      --scheduling MODE               Adaptive, ThreadPool or UnsafeInline
      --loops N                       event loops (with sockets: its I/O queues)
      --proxy-protocol MODE           RequiredFromTrusted, Required or Optional: takes PROXY protocol headers of proxies on this machine

    And any key of the configuration, such as these:

      --EpollTransport:Backlog 100              an option of the transport
      --EpollTransport:Enabled false            leaves the endpoints to Sockets
      --Logging:LogLevel:Default Debug          says more; Warning is the default
    """, RunAsync);

async Task<int> RunAsync()
{
    var builder = WebApplication.CreateSlimBuilder(args);
    builder.Logging.SetMinimumLevel(LogLevel.Warning);

    // What fails at the start ends as one line.
    builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);

    var scheduling = builder.Configuration.GetValue("scheduling", ApplicationScheduling.Adaptive);
    int? loops = builder.Configuration.GetValue<int?>("loops");
    string transport = builder.Configuration["transport"] ?? "epoll";

    switch (transport)
    {
        case "epoll":
            // In an application of your own, builder.WebHost.UseEpollTransport() is all there is to write.
            builder.WebHost.UseEpollTransport(builder.Configuration.GetSection("EpollTransport"));
            builder.WebHost.UseEpollTransport(options =>
            {
                options.Scheduling = scheduling;
                options.LoopCount = loops ?? options.LoopCount;
            });
            break;
        case "sockets":
            builder.WebHost.UseSockets(options =>
            {
                options.UnsafePreferInlineScheduling = scheduling == ApplicationScheduling.UnsafeInline;
                options.IOQueueCount = loops ?? options.IOQueueCount;
            });
            break;
        default:
            throw new ArgumentException($"--transport must be 'epoll' or 'sockets', not '{transport}'.");
    }

    builder.WebHost.UseKestrelHttpsConfiguration();
    builder.WebHost.ConfigureKestrel(kestrel =>
    {
        kestrel.AddServerHeader = false;
        kestrel.ConfigureHttpsDefaults(https => https.ServerCertificate = LocalCertificate.Create());
    });

    if (builder.Configuration.GetValue<ProxyProtocolMode?>("proxy-protocol") is { } mode)
    {
        // For every endpoint, and in front of its TLS. In earnest, name the proxies' own network here.
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ConfigureEndpointDefaults(listen => listen.UseProxyProtocol(options =>
        {
            options.Mode = mode;
            options.TrustedNetworks.Add(new IPNetwork(IPAddress.Loopback, 32));
        })));
    }

    bool usesDefaults = string.IsNullOrEmpty(builder.Configuration[WebHostDefaults.ServerUrlsKey]);
    if (usesDefaults)
    {
        builder.WebHost.ConfigureKestrel(DefaultEndpoints.Listen);
    }

    var app = builder.Build();
    Endpoints.Map(app);

    await app.StartAsync();
    Console.WriteLine($"HelloKestrel over {transport}, process {Environment.ProcessId}. Ctrl+C stops it.");
    if (usesDefaults)
    {
        DefaultEndpoints.PrintCurlLines();
    }
    else
    {
        foreach (string url in app.Urls)
        {
            Console.WriteLine($"  {url}");
        }
    }

    await app.WaitForShutdownAsync();
    return 0;
}
