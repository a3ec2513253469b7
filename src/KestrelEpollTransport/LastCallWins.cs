using System.Buffers;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>Leaves the endpoints to Sockets where <c>UseSockets()</c> was called behind <c>UseEpollTransport()</c>. Thread-safe.</summary>
/// <remarks>
/// The registered transports don't tell: <c>UseSockets()</c> adds its own only where there is none. But each call of it adds a function that
/// sets the options of Sockets, and each call of <c>UseEpollTransport()</c> adds a <see cref="Mark"/> to these. They come in the order of the calls.
/// <c>UseKestrel()</c> calls <c>UseSockets()</c> too, once, and adds a server: as many calls as servers say nothing.
/// </remarks>
internal sealed class LastCallWins(IEnumerable<IConfigureOptions<SocketTransportOptions>> setups) : IPostConfigureOptions<EpollTransportOptions>
{
    public void PostConfigure(string? name, EpollTransportOptions options)
    {
        Mark? last = null;
        int callsSince = 0;
        foreach (IConfigureOptions<SocketTransportOptions> setup in setups)
        {
            if (setup is Mark mark)
            {
                last = mark;
                callsSince = 0;
            }
            else if (IsOfUseSockets(setup))
            {
                callsSince++;
            }
        }

        if (last is not null && callsSince > Math.Max(last.CountServersSince(), 0))
        {
            options.Enabled = false;
            options.WhoDisabled = "UseSockets() was called after UseEpollTransport()";
        }
    }

    // An application's own function has this type too, but not its code in the assembly of Sockets.
    private static bool IsOfUseSockets(IConfigureOptions<SocketTransportOptions> setup) =>
        setup is ConfigureNamedOptions<SocketTransportOptions, IMemoryPoolFactory<byte>> { Action.Target: { } code }
        && code.GetType().Assembly == typeof(SocketTransportFactory).Assembly;

    /// <summary>Stands where <c>UseEpollTransport()</c> was called.</summary>
    internal sealed class Mark(IServiceCollection services) : IConfigureOptions<SocketTransportOptions>
    {
        private readonly int _serversBefore = CountServers(services);

        public int CountServersSince() => CountServers(services) - _serversBefore;

        public void Configure(SocketTransportOptions options)
        {
        }

        // Kestrel's only: no other server calls UseSockets().
        private static int CountServers(IServiceCollection services) => services.Count(static service =>
            service.ServiceType == typeof(IServer) && !service.IsKeyedService && service.ImplementationType?.Assembly == typeof(KestrelServer).Assembly);
    }
}
