using System.Runtime.InteropServices;

namespace KestrelEpollTransport.Native.Posix;

/// <summary>
/// <c>struct msghdr</c>, sendmsg(2), of 64-bit little-endian systems: one layout for all of them, as far as it is used here.
/// </summary>
/// <remarks>
/// The four fields that are set lie at the same offsets everywhere. Linux counts the pieces in 8 bytes where the BSDs have 4
/// and 4 of padding: with zeroes above them the same, little end first. What follows (a control buffer, none here, and
/// flags) begins at 32 in both; Linux's is the longer, 56 bytes, and so the size here.
/// Source: sys/socket.h, glibc's bits/socket.h, versions as of <see cref="SystemNumbers"/>.
/// </remarks>
[StructLayout(LayoutKind.Explicit, Size = 56)]
internal unsafe struct MessageHeader
{
    [FieldOffset(0)]
    public void* Name;

    [FieldOffset(8)]
    public uint NameLength;

    [FieldOffset(16)]
    public IoVector* Vectors;

    [FieldOffset(24)]
    public ulong VectorCount;
}
