using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.Versioning;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Bsd;
using KestrelEpollTransport.Native.Linux;

namespace KestrelEpollTransport.Polling;

/// <summary>
/// Waits for the readiness of many descriptors at once. The only door to the operating system's multiplexer.
/// </summary>
/// <remarks>
/// <para><b>Edges.</b> A descriptor of <see cref="Register"/> is told when it <i>becomes</i> ready, once; what is
/// ready at the time of registering is told too. After a hint the owner reads (or writes) until the call
/// would block, or knows from a short count that it did; until then no further hint need come.</para>
/// <para><b>Levels.</b> A listening descriptor of <see cref="RegisterShared"/> is told at every wait for as long as
/// connections are waiting. Several pollers may have it, and one connection wakes at least one of them. With
/// <see cref="SharesListeners"/> (epoll, whose EPOLLEXCLUSIVE is for this) it does not wake all; without it (kqueue) it does,
/// and so one poller is to have the descriptor.</para>
/// <para><b>Hints.</b> Readiness may be told without need: the call that follows decides. An event may come for a
/// registration that ended meanwhile, in the same batch or the next: its token is the old one. Hang-up,
/// errors and urgent data are told whatever the interest is. A backend that can't see urgent data (kqueue) tells it with
/// each readability, because a short count proves nothing after it.</para>
/// <para><b>Ends.</b> The peer's end is told as <see cref="Readiness.PeerClosed"/>, an error as
/// <see cref="Readiness.Error"/>. <see cref="Readiness.HangUp"/>, that both directions ended, comes with an error, and
/// otherwise from epoll always and from kqueue when it learns of both ends at once. What arrived before an end is read
/// first.</para>
/// <para><b>Threads.</b> One thread at a time waits. Everything else may be called from any thread, also during a
/// wait, and takes effect on that wait. Registering and deregistering one descriptor is for its owner to order; registering
/// it twice, or modifying it unregistered, is a mistake that epoll says and kqueue does not.</para>
/// <para><b>Closing.</b> A registration lives as long as any duplicate of the descriptor: closing the only one ends it too,
/// and where there may be more, deregister before close(2).
/// Disposing while a thread waits is not allowed: wake it, let it leave, then dispose.</para>
/// </remarks>
internal abstract class Poller : IDisposable
{
    /// <summary>The switch of <see cref="AppContext"/> that turns the transport on where it has kqueue.</summary>
    public const string KqueueSwitch = "KestrelEpollTransport.UseKqueue";

    /// <summary>Whether this machine has a multiplexer that we know, with native calls that work.</summary>
    public static bool IsSupported { get; } = LinuxBinding.IsLoaded || HasKqueue();

    /// <summary>
    /// Whether one connection wakes few of the pollers that have a listening descriptor. Where it is false, register it with
    /// one of them, which hands connections on.
    /// </summary>
    public abstract bool SharesListeners { get; }

    /// <exception cref="PlatformNotSupportedException">See <see cref="IsSupported"/>.</exception>
    /// <exception cref="SocketException">The process has no descriptor or memory left.</exception>
    public static Poller Create()
    {
        if (LinuxBinding.IsLoaded)
        {
            return CreateEpoll();
        }

        if ((OperatingSystem.IsMacOS() || OperatingSystem.IsFreeBSD()) && IsSupported)
        {
            return new KqueuePoller(NativeKqueueCalls.Instance);
        }

        throw new PlatformNotSupportedException("The transport needs Linux on x64, arm64 or arm, macOS or FreeBSD.");
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

    // A method of its own: its types are resolved when the method is compiled, and are there on Linux only.
    [SupportedOSPlatform("linux")]
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static EpollPoller CreateEpoll() => new();

    private static bool HasKqueue()
    {
        if (!OperatingSystem.IsMacOS() && !OperatingSystem.IsFreeBSD())
        {
            return false;
        }

        // Asked for by name until it has run there: Sockets work on those systems.
        if (!AppContext.TryGetSwitch(KqueueSwitch, out bool isWanted) || !isWanted)
        {
            return false;
        }

        // The structures are those of 64-bit, little-endian systems; .NET has no others here.
        if (!Environment.Is64BitProcess || !BitConverter.IsLittleEndian)
        {
            return false;
        }

        try
        {
            return KqueuePoller.Probe(NativeKqueueCalls.Instance);
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException or SocketException)
        {
            return false;
        }
    }
}
