using System.Runtime.InteropServices;

namespace KestrelEpollTransport.Tests;

/// <summary>
/// The calls of Linux that the <see cref="KqueueModel"/> stands on, declared here and not taken from the transport's binding:
/// the model is for a process that has none. Errors are returned as their numbers.
/// </summary>
internal static unsafe partial class ModelCalls
{
    // Those of epoll and of poll, which agree. Source: linux/eventpoll.h, asm-generic/poll.h of Linux 6.1.
    public const uint Readable = 0x1;
    public const uint Writable = 0x4;
    public const uint Error = 0x8;
    public const uint HungUp = 0x10;
    public const uint PeerClosed = 0x2000;
    public const uint EdgeTriggered = 1u << 31;

    public const int Add = 1;
    public const int Delete = 2;
    public const int Modify = 3;

    private const uint Invalid = 0x20;
    private const int CloseOnExec = 0x80000;
    private const int NonBlocking = 0x800;
    private const int GetDescriptorFlags = 1;

    // struct epoll_event is packed on x64, and on no other processor. Source: linux/eventpoll.h of Linux 6.1.
    private static readonly bool s_isPacked = RuntimeInformation.ProcessArchitecture == Architecture.X64;
    private static readonly int s_eventSize = s_isPacked ? 12 : 16;
    private static readonly int s_keyOffset = s_isPacked ? 4 : 8;

    /// <summary>A descriptor, or an error number with a minus.</summary>
    public static int CreateEpoll() => NegateError(NativeCreateEpoll(CloseOnExec));

    public static int CreateEvent() => NegateError(NativeCreateEvent(0, CloseOnExec | NonBlocking));

    public static void Signal(int eventDescriptor)
    {
        ulong one = 1;
        _ = NativeWrite(eventDescriptor, &one, sizeof(ulong));
    }

    public static int Control(int epoll, int operation, int descriptor, uint events, ulong key)
    {
        byte* request = stackalloc byte[s_eventSize];
        *(uint*)request = events;
        *(ulong*)(request + s_keyOffset) = key;
        return NativeControl(epoll, operation, descriptor, request) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    /// <summary>The keys of what has become ready.</summary>
    public static int Wait(int epoll, Span<ulong> keys, int timeoutMs, out int count)
    {
        byte* events = stackalloc byte[keys.Length * s_eventSize];
        count = NativeWait(epoll, events, keys.Length, timeoutMs);
        for (int i = 0; i < count; i++)
        {
            keys[i] = *(ulong*)(events + (i * s_eventSize) + s_keyOffset);
        }

        return count < 0 ? Marshal.GetLastPInvokeError() : 0;
    }

    /// <summary>What is ready at this moment, errors and hang-up among it; 0 for a descriptor that is closed.</summary>
    public static uint Look(int descriptor, uint events)
    {
        PollRequest request = new() { Descriptor = descriptor, Events = (ushort)events };
        return NativePoll(&request, 1, 0) > 0 && (request.Told & Invalid) == 0 ? request.Told : 0u;
    }

    public static bool IsOpen(int descriptor) => NativeDescriptorControl(descriptor, GetDescriptorFlags, 0) >= 0;

    private static int NegateError(int result) => result < 0 ? -Marshal.GetLastPInvokeError() : result;

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int NativeCreateEpoll(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int NativeControl(int epoll, int operation, int descriptor, byte* request);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int NativeWait(int epoll, byte* events, int count, int timeoutMs);

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    private static partial int NativeCreateEvent(uint value, int flags);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    private static partial nint NativeWrite(int descriptor, void* buffer, nuint length);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    private static partial int NativePoll(PollRequest* requests, nuint count, int timeoutMs);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int NativeDescriptorControl(int descriptor, int command, nint argument);

    private struct PollRequest
    {
        public int Descriptor;
        public ushort Events;
        public ushort Told;
    }
}
