// The smallest web application over the epoll transport, and a little more than the smallest so that every way
// Kestrel moves bytes can be tried with curl.
using System.CommandLine;
using System.Net;
using HelloKestrel;
using KestrelEpollTransport;
using Samples;

Option<string> urls = new("--urls") { HelpName = "URL;URL", Description = "Binds exactly these (also ASPNETCORE_URLS), instead of one endpoint of each kind" };
Option<string> transport = CommandLine.Choice("--transport", "epoll", ["epoll", "sockets"], "sockets: Kestrel's stock transport, to compare with");
Option<ApplicationScheduling?> scheduling = CommandLine.Choice<ApplicationScheduling?>(
    "--scheduling", null, Enum.GetNames<ApplicationScheduling>(), "Where requests run, as docs/scheduling.md has it");
Option<int?> loops = CommandLine.Number<int?>("--loops", null, 1, EpollTransportOptions.MaxLoopCount, "Event loops; with sockets, its I/O queues");
Option<ProxyProtocolMode?> proxyProtocol = CommandLine.Choice<ProxyProtocolMode?>(
    "--proxy-protocol", null, Enum.GetNames<ProxyProtocolMode>(), "Takes PROXY protocol headers from 127.0.0.1, as curl sends them: curl --haproxy-protocol http://127.0.0.1:5080/connection");
Argument<string[]> settings = new("settings")
{
    Description = """
        Any keys of the configuration, such as these:
        --EpollTransport:Backlog 100 for an option of the transport
        --EpollTransport:Enabled false leaves the endpoints to Sockets
        --Logging:LogLevel:KestrelEpollTransport Information says which transport serves
        --Logging:LogLevel:Default Debug says more; Warning is the default
        """,
};
settings.Validators.Add(static result =>
{
    for (int i = 0; i < result.Tokens.Count; i++)
    {
        string key = result.Tokens[i].Value;
        if (!key.StartsWith("--", StringComparison.Ordinal) || !key.Contains(':'))
        {
            result.AddError($"Unrecognized command or argument '{key}'.");
            return;
        }

        if (!key.Contains('=') && ++i == result.Tokens.Count)
        {
            result.AddError($"Required argument missing for option: '{key}'.");
        }
    }
});
RootCommand command = new("Serves HTTP/1.1, HTTP/2, HTTPS and a unix socket over the epoll transport.") { urls, transport, scheduling, loops, proxyProtocol, settings };
command.SetAction(RunAsync);
return await command.RunAsync(args);

async Task<int> RunAsync(ParseResult parsed)
{
    var builder = WebApplication.CreateSlimBuilder(parsed.GetValue(settings) ?? []);
    builder.Logging.SetMinimumLevel(LogLevel.Warning);

    // What fails at the start ends as one line.
    builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);

    if (parsed.GetValue(transport) == "sockets")
    {
        builder.WebHost.UseSockets(options =>
        {
            options.UnsafePreferInlineScheduling = parsed.GetValue(scheduling) == ApplicationScheduling.UnsafeInline;
            options.IOQueueCount = parsed.GetValue(loops) ?? options.IOQueueCount;
        });
    }
    else
    {
        // In an application of your own, builder.WebHost.UseEpollTransport() is all there is to write.
        builder.WebHost.UseEpollTransport(builder.Configuration.GetSection("EpollTransport"));
        builder.WebHost.UseEpollTransport(options =>
        {
            options.Scheduling = parsed.GetValue(scheduling) ?? options.Scheduling;
            options.LoopCount = parsed.GetValue(loops) ?? options.LoopCount;
        });
    }

    builder.WebHost.UseKestrelHttpsConfiguration();
    builder.WebHost.ConfigureKestrel(kestrel =>
    {
        kestrel.AddServerHeader = false;
        kestrel.ConfigureHttpsDefaults(https => https.ServerCertificate = LocalCertificate.Create());
    });

    if (parsed.GetValue(proxyProtocol) is { } mode)
    {
        // For every endpoint, and in front of its TLS. In production, name the addresses of your proxies here.
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ConfigureEndpointDefaults(listen => listen.UseProxyProtocol(options =>
        {
            options.Mode = mode;
            options.TrustedNetworks.Add(new IPNetwork(IPAddress.Loopback, 32));
        })));
    }

    if (parsed.GetValue(urls) is { } addresses)
    {
        builder.WebHost.UseUrls(addresses);
    }

    bool usesDefaults = string.IsNullOrEmpty(builder.Configuration[WebHostDefaults.ServerUrlsKey]);
    if (usesDefaults)
    {
        builder.WebHost.ConfigureKestrel(DefaultEndpoints.Listen);
    }

    var app = builder.Build();
    Endpoints.Map(app);

    await app.StartAsync();
    Console.WriteLine($"HelloKestrel, process {Environment.ProcessId}. Ctrl+C stops it.");
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
