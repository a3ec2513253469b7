using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests.Restarting;

/// <summary>
/// A server that takes over what it was started with, in a process of its own. Says its number and port to whoever connects, and takes commands
/// from its standard input: "unbind" and "end", which each is answered by a line.
/// </summary>
internal static class HandoverServer
{
    public const string Command = "handover";

    /// <summary>What the path is that stands for no unix socket.</summary>
    public const string NoPath = "-";

    public static async Task RunAsync(TransportKind kind, string unixPath)
    {
        using IHost host = Build(kind);
        var listeners = host.Services.GetRequiredService<IConnectionListenerFactory>();
        EndPoint endPoint = unixPath == NoPath ? Net.AnyLoopbackPort : new UnixDomainSocketEndPoint(unixPath);
        IConnectionListener listener = await listeners.BindAsync(endPoint);
        Task serving = ServeAsync(listener);
        await host.StartAsync();
        await Console.Out.WriteLineAsync(string.Create(
            CultureInfo.InvariantCulture, $"{host.Services.GetRequiredService<ListenerHandover>().HasPredecessor} {(listener.EndPoint as IPEndPoint)?.Port}"));
        while (await Console.In.ReadLineAsync() is { } command and not "end")
        {
            await listener.UnbindAsync();
            await serving;
            await Console.Out.WriteLineAsync("did " + command);
        }

        await listener.DisposeAsync();
    }

    /// <summary>A host without a server: the transport, and what takes sockets over.</summary>
    public static IHost Build(TransportKind kind, ListenerHandover? handover = null)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.AddLogging();
        builder.Services.AddEpollTransport(options => new TransportSettings().ApplyTo(options, kind)).UsePollerOf(kind);
        if (handover is not null)
        {
            builder.Services.AddSingleton(handover);
        }

        builder.Services.AddListenerHandover();
        return builder.Build();
    }

    public static async Task ServeAsync(IConnectionListener listener)
    {
        while (await listener.AcceptAsync() is { } connection)
        {
            await connection.Transport.Output.WriteTextAsync(Environment.ProcessId.ToString(CultureInfo.InvariantCulture));
            await connection.DisposeAsync();
        }
    }

    /// <summary>The number of the process that serves there.</summary>
    public static async Task<int> AskAsync(EndPoint endPoint)
    {
        using Socket client = await Net.ConnectAsync(endPoint);
        return int.Parse(await client.ReceiveTextToEndAsync(), CultureInfo.InvariantCulture);
    }
}
