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

    /// <summary>Listening sockets of Multipath TCP (RFC 8684) by a protocol number of socket(2): Linux 5.6.</summary>
    MultipathTcp = 2,

    /// <summary>
    /// Whether a unix socket of which only the file is left can be told from one that is served. The BSDs refuse a connection (ECONNREFUSED)
    /// to the first, and to the second where its backlog is full.
    /// </summary>
    StaleUnixSockets = 4,
}

/// <summary>Refuses, before anything begins, what the system does not have: it would fail later, and say less.</summary>
internal static class SystemFeatureChecks
{
    /// <summary>What stands before the name of an option of a socket's, in messages.</summary>
    public const string OptionsPrefix = "EpollTransportOptions.Sockets.";

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

    /// <summary>Refuses options of sockets that the kernel does not have here.</summary>
    /// <exception cref="PlatformNotSupportedException">The message names the option, what it needs and the system.</exception>
    public static void Check(SocketSettings settings) => Check(settings, SystemNumbers.Current);

    /// <summary>The same, for any system.</summary>
    public static void Check(SocketSettings settings, SystemNumbers system)
    {
        foreach (KernelSetting setting in settings.All)
        {
            if (!system.Options.ContainsKey(setting.Option))
            {
                throw Refusal($"{OptionsPrefix}{setting.Property}", $"{setting.Option}", system);
            }
        }

        if (settings.IsMultipath)
        {
            Require(SystemFeatures.MultipathTcp, $"{OptionsPrefix}Multipath", "Multipath TCP", system);
        }

        if (settings.RemovesStaleUnixSockets)
        {
            Require(SystemFeatures.StaleUnixSockets, $"{OptionsPrefix}RemoveStaleUnixSocket", "a way to tell that nobody serves a unix socket", system);
        }
    }

    private static void Require(SystemFeatures feature, string who, string what, SystemNumbers system)
    {
        if ((system.Features & feature) == 0)
        {
            throw Refusal(who, what, system);
        }
    }

    private static PlatformNotSupportedException Refusal(string who, string what, SystemNumbers system) =>
        new($"{who} needs {what}, which {system.Name} does not have.");
}
