using System.Buffers;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>Leaves the endpoints to Sockets where <c>UseSockets()</c> was called behind <c>UseEpollTransport()</c>. Thread-safe.</summary>
/// <remarks>
/// The registered transports don't tell: <c>UseSockets()</c> adds its own only where there is none. But each call of it adds a function that
/// sets the options of Sockets, and each call of <c>UseEpollTransport()</c> adds a <see cref="Mark"/> to these. They come in the order of the calls.
/// </remarks>
internal sealed class LastCallWins(IEnumerable<IConfigureOptions<SocketTransportOptions>> setups) : IPostConfigureOptions<EpollTransportOptions>
{
    public void PostConfigure(string? name, EpollTransportOptions options)
    {
        if (setups.LastOrDefault(static setup => setup is Mark || IsOfUseSockets(setup)) is not (null or Mark))
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
    internal sealed class Mark : IConfigureOptions<SocketTransportOptions>
    {
        public void Configure(SocketTransportOptions options)
        {
        }
    }
}
