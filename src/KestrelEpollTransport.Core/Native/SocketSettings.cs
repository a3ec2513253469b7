using System.Net.Sockets;

namespace KestrelEpollTransport.Native;

/// <summary>What the transport's options ask of the kernel for its sockets. Immutable.</summary>
internal sealed class SocketSettings(IReadOnlyList<KernelSetting> all)
{
    /// <summary>Nothing: every default is the kernel's.</summary>
    public static SocketSettings None { get; } = new([]);

    /// <summary>The options that are set.</summary>
    public IReadOnlyList<KernelSetting> All { get; } = all;

    /// <summary>Whether sockets that listen are Multipath TCP's.</summary>
    public bool IsMultipath { get; init; }

    /// <summary>The mode of the files of unix sockets that listen; null: what the umask leaves.</summary>
    public UnixFileMode? UnixFileMode { get; init; }

    /// <summary>Whether the file of a unix socket that nobody serves any more is removed before another is bound.</summary>
    public bool RemovesStaleUnixSockets { get; init; }

    /// <summary>Sets what has to be set there.</summary>
    /// <exception cref="SocketException">The kernel refused it; the message names the option and the value.</exception>
    public void Apply(int descriptor, AddressFamily family, SettingPlaces place)
    {
        foreach (KernelSetting setting in All)
        {
            if (setting.IsFor(family, place) && setting.SetOn(descriptor) is { IsError: true, Errno: int errno })
            {
                string value = setting.Text ?? $"{setting.Value}";
                string protocol = place != SettingPlaces.Client && family != AddressFamily.Unix && IsMultipath ? " of Multipath TCP" : "";
                throw Errno.ToException(
                    errno, $"{SystemFeatureChecks.OptionsPrefix}{setting.Property}: the kernel refused to set {setting.Option} to {value} on a socket{protocol}");
            }
        }
    }

    /// <summary>What each accepted socket needs; empty where everything is inherited.</summary>
    public KernelSetting[] ForAccepted(AddressFamily family) => [.. All.Where(setting => setting.IsFor(family, SettingPlaces.Accepted))];
}
