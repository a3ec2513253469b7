using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using KestrelEpollTransport.Native.Posix;

namespace KestrelEpollTransport.Native.Bsd;

/// <summary>The kernel's own kqueue(2) and kevent(2).</summary>
[SupportedOSPlatform("macos")]
[SupportedOSPlatform("freebsd")]
internal sealed unsafe partial class NativeKqueueCalls : KqueueCalls
{
    private NativeKqueueCalls(KqueueNumbers numbers)
        : base(numbers)
    {
    }

    public static NativeKqueueCalls Instance { get; } = new(OperatingSystem.IsMacOS() ? KqueueNumbers.Darwin : KqueueNumbers.FreeBsd);

    public override IoResult Create()
    {
        int queue = NativeCreate();
        if (queue < 0)
        {
            return LastError();
        }

        // fork(2) does not inherit it; posix_spawn(2) of macOS and vfork(2) might.
        _ = SystemCalls.SetCloseOnExec(queue);
        return IoResult.Success(queue);
    }

    public override IoResult Change(int queue, byte* changes, int changeCount, byte* events, int eventCount, Timespec* timeout)
    {
        int count = NativeChange(queue, changes, changeCount, events, eventCount, timeout);
        return count < 0 ? LastError() : IoResult.Success(count);
    }

    private static IoResult LastError() => IoResult.Failure(SystemNumbers.Current.ToErrno(Marshal.GetLastPInvokeError()));

    [LibraryImport("libc", EntryPoint = "kqueue", SetLastError = true)]
    private static partial int NativeCreate();

    // FreeBSD's libc exports the call of FreeBSD 11 too, with the shorter structure (kevent@FBSD_1.0 beside FBSD_1.5);
    // looked up without a version, as the runtime does, the name is today's.
    // Source: lib/libc/sys/Symbol.map, version as of SystemNumbers, and lib/libc/include/compat.h (42edb4e).
    [LibraryImport("libc", EntryPoint = "kevent", SetLastError = true)]
    private static partial int NativeChange(int queue, byte* changes, int changeCount, byte* events, int eventCount, Timespec* timeout);
}
