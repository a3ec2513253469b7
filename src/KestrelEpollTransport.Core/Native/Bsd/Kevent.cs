using System.Runtime.InteropServices;
using KestrelEpollTransport.Native.Posix;

namespace KestrelEpollTransport.Native.Bsd;

/// <summary><c>struct kevent</c>, kqueue(2), of 64-bit systems: all of it on macOS, and the first half of it on FreeBSD.</summary>
/// <remarks>
/// macOS packs it to 4 bytes, which changes nothing on 64 bits; on FreeBSD four words for extensions follow since FreeBSD 12.
/// The values are the same in both headers, except for what <see cref="KqueueNumbers"/> has.
/// Source: sys/event.h, versions as of <see cref="SystemNumbers"/>.
/// </remarks>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal struct Kevent
{
#pragma warning disable CA1707 // The names of the manual.
    public const short EVFILT_READ = -1;
    public const short EVFILT_WRITE = -2;

    public const ushort EV_ADD = 0x0001;
    public const ushort EV_DELETE = 0x0002;
    public const ushort EV_CLEAR = 0x0020;
    public const ushort EV_RECEIPT = 0x0040;
    public const ushort EV_ERROR = 0x4000;
    public const ushort EV_EOF = 0x8000;

    public const uint NOTE_TRIGGER = 0x01000000;
#pragma warning restore CA1707

    /// <summary>The descriptor, or the name of a user's event.</summary>
    public ulong Identifier;

    public short Filter;

    /// <summary>Of a change: what to do. Of an event: EV_EOF, EV_ERROR.</summary>
    public ushort Flags;

    /// <summary>Of an event with EV_EOF: the socket's error, or 0.</summary>
    public uint FilterFlags;

    /// <summary>Of an event: how much there is. With EV_ERROR: the error of a change, 0 for none.</summary>
    public long Data;

    /// <summary>Ours, and given back with each event.</summary>
    public ulong UserData;
}

/// <summary><c>struct kevent</c> of FreeBSD 12 and later. Source as of <see cref="Kevent"/>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FreeBsdKevent
{
    public Kevent Common;

    /// <summary>Not used by the filters here, and zero.</summary>
    public ulong Extension0;
    public ulong Extension1;
    public ulong Extension2;
    public ulong Extension3;
}

/// <summary><c>struct timespec</c> of 64-bit systems.</summary>
/// <remarks>
/// Source: sys/_types/_timespec.h of Darwin, sys/_timespec.h of FreeBSD, versions as of <see cref="SystemNumbers"/>.
/// </remarks>
[StructLayout(LayoutKind.Sequential)]
internal struct Timespec
{
    public long Seconds;
    public long Nanoseconds;

    public static Timespec FromMilliseconds(int milliseconds) =>
        new() { Seconds = milliseconds / 1_000, Nanoseconds = milliseconds % 1_000 * 1_000_000L };
}
