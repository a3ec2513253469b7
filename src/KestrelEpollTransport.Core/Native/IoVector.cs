using System.Runtime.InteropServices;

namespace KestrelEpollTransport.Native;

/// <summary>One piece of a scattered receive or a gathered send: the layout of <c>struct iovec</c>, readv(2).</summary>
/// <remarks>
/// Source: sys/_types/_iovec_t.h of Darwin, sys/_iovec.h of FreeBSD, glibc's bits/types/struct_iovec.h, versions as of
/// SystemNumbers.
/// </remarks>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct IoVector
{
    /// <summary>The most pieces that this code hands to one call; the kernel takes 1,024 (IOV_MAX).</summary>
    public const int MaxCount = 32;

    public byte* Base;
    public nuint Length;
}
