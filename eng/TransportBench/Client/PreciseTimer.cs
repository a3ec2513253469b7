using System.Runtime.InteropServices;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace TransportBench.Client;

/// <summary>
/// Ends a wait of a <see cref="Poller"/> at a moment, to some microseconds: timerfd_create(2). The poller's own limit is in milliseconds,
/// and the kernel adds 50 µs of slack to it, prctl(2); a timer that is a descriptor has none. For the thread that waits.
/// </summary>
internal sealed unsafe partial class PreciseTimer : IDisposable
{
    // The clock of Stopwatch, which counts its nanoseconds.
    private const int MonotonicClock = 1;

    // O_NONBLOCK and O_CLOEXEC, which are the same on every architecture that .NET runs on under Linux.
    private const int NonBlockingAndCloseOnExec = 0x800 | 0x80000;
    private const int AbsoluteTime = 1;
    private const long NanosecondsPerSecond = 1_000_000_000;

    private readonly int _descriptor;
    private long _armed;

    /// <exception cref="System.Net.Sockets.SocketException">The process has no descriptor or memory left.</exception>
    public PreciseTimer(Poller poller)
    {
        _descriptor = Create(MonotonicClock, NonBlockingAndCloseOnExec);
        ThrowIf(_descriptor < 0);

        // By edges: each expiry is a new one, so that nobody has to read how many there were.
        IoResult registered = poller.Register(_descriptor, Interest.Read, Token);
        if (registered.IsError)
        {
            throw Errno.ToException(registered.Errno);
        }
    }

    /// <summary>What its events have.</summary>
    public static Token Token { get; } = new(int.MaxValue, 0);

    /// <summary>Ends the wait at this moment, and no longer at the one before.</summary>
    /// <param name="moment">A timestamp of <see cref="System.Diagnostics.Stopwatch"/>, still to come.</param>
    public void Arm(long moment)
    {
        if (moment == _armed)
        {
            return;
        }

        _armed = moment;

        // struct itimerspec: seconds and nanoseconds of the interval, of which there is none, and of the first expiry.
        nint* times = stackalloc nint[4] { 0, 0, (nint)(moment / NanosecondsPerSecond), (nint)(moment % NanosecondsPerSecond) };
        ThrowIf(Set(_descriptor, AbsoluteTime, times, null) < 0);
    }

    public void Dispose() => SystemCalls.Close(_descriptor);

    private static void ThrowIf(bool hasFailed)
    {
        if (hasFailed)
        {
            throw Errno.ToException(Marshal.GetLastPInvokeError());
        }
    }

    [LibraryImport("libc", EntryPoint = "timerfd_create", SetLastError = true)]
    private static partial int Create(int clock, int flags);

    [LibraryImport("libc", EntryPoint = "timerfd_settime", SetLastError = true)]
    private static partial int Set(int descriptor, int flags, nint* newTimes, nint* oldTimes);
}
