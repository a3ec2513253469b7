using System.Runtime.CompilerServices;
using System.Runtime.Versioning;
using Tmds.Linux;

namespace KestrelEpollTransport.Native.Linux;

/// <summary>
/// Whether Tmds.LibC serves this process: on Linux, where its assembly and its native library load. It ships them for x64,
/// arm64 and arm only.
/// </summary>
internal static class LinuxBinding
{
    private static readonly bool s_loads = OperatingSystem.IsLinux() && Loads();

    /// <summary>A constant to the compiler: false at once off Linux, and a readonly field that is set on it.</summary>
    [SupportedOSPlatformGuard("linux")]
    public static bool IsLoaded
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => OperatingSystem.IsLinux() && s_loads;
    }

    [SupportedOSPlatform("linux")]
    private static bool Loads()
    {
        try
        {
            Probe();
            return true;
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException or TypeLoadException
            or FileNotFoundException or BadImageFormatException or PlatformNotSupportedException)
        {
            return false;
        }
    }

    // A method of its own: the types of the binding are resolved when the method is compiled.
    [SupportedOSPlatform("linux")]
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Probe()
    {
        int epoll = LibC.epoll_create1(LibC.EPOLL_CLOEXEC);
        if (epoll >= 0)
        {
            _ = LibC.close(epoll);
        }
    }
}
