using System.Runtime.CompilerServices;
using System.Runtime.Versioning;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Polling;

/// <summary>
/// Waits for the readiness of many descriptors at once. The only door to the operating system's multiplexer.
/// </summary>
/// <remarks>
/// <para><b>Edges.</b> A descriptor of <see cref="Register"/> is told when it <i>becomes</i> ready, once; what is
/// ready at the time of registering is told too. After a hint the owner reads (or writes) until the call
/// would block, or knows from a short count that it did; until then no further hint need come.</para>
/// <para><b>Levels.</b> A listening descriptor of <see cref="RegisterShared"/> is told at every wait for as long as
/// connections are waiting. Several pollers may share it; one connection wakes at least one of them, and
/// not all.</para>
/// <para><b>Hints.</b> Readiness may be told without need: the call that follows decides. An event may come for a
/// registration that ended meanwhile, in the same batch or the next: its token is the old one. Hang-up,
/// errors and urgent data are told whatever the interest is.</para>
/// <para><b>Threads.</b> One thread at a time waits. Everything else may be called from any thread, also during a
/// wait, and takes effect on that wait. Registering and deregistering one descriptor is for its owner to order.</para>
/// <para><b>Ends.</b> A registration lives as long as any duplicate of the descriptor: closing the only one ends it too,
/// and where there may be more, deregister before close(2).
/// Disposing while a thread waits is not allowed: wake it, let it leave, then dispose.</para>
/// </remarks>
internal abstract class Poller : IDisposable
{
    /// <summary>Whether this machine has a multiplexer that we know, with a native binding that loads.</summary>
    public static bool IsSupported { get; } = OperatingSystem.IsLinux() && CanLoadBinding();

    /// <exception cref="PlatformNotSupportedException">See <see cref="IsSupported"/>.</exception>
    /// <exception cref="System.Net.Sockets.SocketException">The process has no descriptor or memory left.</exception>
    public static Poller Create()
    {
        if (!OperatingSystem.IsLinux() || !IsSupported)
        {
            throw new PlatformNotSupportedException("The epoll transport needs Linux on x64, arm64 or arm.");
        }

        return new EpollPoller();
    }

    /// <summary>Begins to tell, by edges, what <paramref name="interest"/> asks.</summary>
    public abstract IoResult Register(int descriptor, Interest interest, Token token);

    /// <summary>Begins to tell, by levels, that connections wait on a listening descriptor shared between pollers.</summary>
    public abstract IoResult RegisterShared(int descriptor, Token token);

    /// <summary>Changes what <see cref="Register"/> asked, and tells again what is ready now.</summary>
    public abstract IoResult Modify(int descriptor, Interest interest, Token token);

    /// <summary>Ends a registration. An event that was already on its way may still come.</summary>
    public abstract IoResult Deregister(int descriptor);

    /// <summary>
    /// Waits until something is ready, <see cref="Wake"/> is called or the time is over; returns how many
    /// <paramref name="events"/> were filled in. A wake counts as an event. May return 0 early.
    /// </summary>
    /// <param name="events">Where to put them.</param>
    /// <param name="timeoutMs">Milliseconds; 0 looks without waiting, -1 waits for ever.</param>
    public abstract int Wait(Span<PollEvent> events, int timeoutMs);

    /// <summary>Makes the wait that runs now, or the next one, return.</summary>
    public abstract void Wake();

    public abstract void Dispose();

    [SupportedOSPlatform("linux")]
    private static bool CanLoadBinding()
    {
        try
        {
            ProbeBinding();
            return true;
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException or TypeLoadException
            or FileNotFoundException or BadImageFormatException or PlatformNotSupportedException)
        {
            // The package has natives for linux-x64, arm64 and arm only: anywhere else the probe ends here.
            return false;
        }
    }

    // A method of its own: the types of the binding are resolved when the method is compiled.
    [SupportedOSPlatform("linux")]
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void ProbeBinding() => EpollPoller.Probe();
}
