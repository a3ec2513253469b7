using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Native.Posix;

namespace KestrelEpollTransport.Native;

/// <summary>What the transport can be asked for and not every system has.</summary>
[Flags]
internal enum SystemFeatures
{
    None = 0,

    /// <summary>Unix socket addresses that are no paths, unix(7): Linux's own.</summary>
    AbstractUnixSockets = 1,
}

/// <summary>Refuses, before anything begins, what the system does not have: it would fail later, and say less.</summary>
internal static class SystemFeatureChecks
{
    /// <summary>Refuses an endpoint that can't be bound or connected to here.</summary>
    /// <exception cref="PlatformNotSupportedException">The message names the endpoint, what it needs and the system.</exception>
    public static void Check(EndPoint endPoint) => Check(endPoint, SystemNumbers.Current);

    /// <summary>The same, for any system.</summary>
    public static void Check(EndPoint endPoint, SystemNumbers system)
    {
        if (endPoint is UnixDomainSocketEndPoint && SocketAddresses.IsAbstract(endPoint))
        {
            Require(SystemFeatures.AbstractUnixSockets, $"The endpoint '{endPoint}'", "abstract unix sockets", system);
        }
    }

    private static void Require(SystemFeatures feature, string who, string what, SystemNumbers system)
    {
        if ((system.Features & feature) == 0)
        {
            throw new PlatformNotSupportedException($"{who} needs {what}, which {system.Name} does not have.");
        }
    }
}
