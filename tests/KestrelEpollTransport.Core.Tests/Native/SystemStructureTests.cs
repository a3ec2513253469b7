using System.Runtime.InteropServices;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Bsd;
using KestrelEpollTransport.Native.Posix;

namespace KestrelEpollTransport.Tests.Native;

/// <summary>
/// The structures against the headers they come from: the members as they are declared there, laid out here by the rules of
/// the C ABIs of these systems, which are those of every 64-bit one: natural alignment, at most the pack.
/// </summary>
public class SystemStructureTests
{
    private const int Pointer = 8;

    // uintptr_t, int16_t, uint16_t, uint32_t, intptr_t or int64_t, void *, and on FreeBSD uint64_t[4].
    // Source: sys/event.h, versions as of SystemNumbers.
    private static readonly int[] s_kevent = [Pointer, 2, 2, 4, 8, Pointer];

    private static readonly string[] s_keventNames =
    [
        nameof(Kevent.Identifier), nameof(Kevent.Filter), nameof(Kevent.Flags), nameof(Kevent.FilterFlags), nameof(Kevent.Data), nameof(Kevent.UserData),
    ];

    [Fact]
    public void Kevent_IsThatOfMacOS()
    {
        // #pragma pack(4).
        int[] offsets = LayOut(4, s_kevent, out int size);

        Assert.Equal(32, size);
        Assert.Equal(size, Marshal.SizeOf<Kevent>());
        Assert.Equal(offsets, s_keventNames.Select(name => (int)Marshal.OffsetOf<Kevent>(name)));
        Assert.Equal(size, KqueueNumbers.Darwin.EventSize);
    }

    [Fact]
    public void FreeBsdKevent_IsThatOfFreeBsd12AndLater()
    {
        int[] offsets = LayOut(8, [.. s_kevent, 8, 8, 8, 8], out int size);

        Assert.Equal(64, size);
        Assert.Equal(size, Marshal.SizeOf<FreeBsdKevent>());
        Assert.Equal(0, (int)Marshal.OffsetOf<FreeBsdKevent>(nameof(FreeBsdKevent.Common)));
        Assert.Equal(offsets[..6], s_keventNames.Select(name => (int)Marshal.OffsetOf<Kevent>(name)));
        Assert.Equal(offsets[6], (int)Marshal.OffsetOf<FreeBsdKevent>(nameof(FreeBsdKevent.Extension0)));
        Assert.Equal(offsets[9], (int)Marshal.OffsetOf<FreeBsdKevent>(nameof(FreeBsdKevent.Extension3)));
        Assert.Equal(size, KqueueNumbers.FreeBsd.EventSize);
        Assert.Equal(KqueueNumbers.MaxEventSize, Math.Max(KqueueNumbers.FreeBsd.EventSize, KqueueNumbers.Darwin.EventSize));
    }

    [Fact]
    public void Timespec_IsTimeAndLong()
    {
        int[] offsets = LayOut(8, [8, 8], out int size);

        Assert.Equal(size, Marshal.SizeOf<Timespec>());
        Assert.Equal(offsets[1], (int)Marshal.OffsetOf<Timespec>(nameof(Timespec.Nanoseconds)));
    }

    // Source: sys/socket.h, glibc's bits/socket.h, versions as of SystemNumbers.
    [Theory]
    // void *, socklen_t, struct iovec *, int, void *, socklen_t, int.
    [InlineData("macOS and FreeBSD", new[] { 8, 4, 8, 4, 8, 4, 4 }, 48)]
    // void *, socklen_t, struct iovec *, size_t, void *, size_t, int.
    [InlineData("Linux", new[] { 8, 4, 8, 8, 8, 8, 4 }, 56)]
    public void MessageHeader_FieldsThatAreSet_LieWhereEachSystemHasThem(string system, int[] members, int expectedSize)
    {
        int[] offsets = LayOut(8, members, out int size);

        Assert.True(expectedSize == size, system);
        Assert.True(size <= Marshal.SizeOf<MessageHeader>(), system);
        Assert.Equal(
            offsets[..4],
            new[] { nameof(MessageHeader.Name), nameof(MessageHeader.NameLength), nameof(MessageHeader.Vectors), nameof(MessageHeader.VectorCount) }
                .Select(name => (int)Marshal.OffsetOf<MessageHeader>(name)));

        // The count has 8 bytes here: they end before the next member, where the system's has 4 and padding.
        Assert.True(offsets[3] + 8 <= offsets[4], system);
    }

    [Fact]
    public void IoVector_IsAddressAndLength()
    {
        int[] offsets = LayOut(8, [Pointer, 8], out int size);

        Assert.Equal(size, Marshal.SizeOf<IoVector>());
        Assert.Equal(offsets[1], (int)Marshal.OffsetOf<IoVector>(nameof(IoVector.Length)));
    }

    [Theory]
    [InlineData(0, 0, 0)]
    [InlineData(1, 0, 1_000_000)]
    [InlineData(1_000, 1, 0)]
    [InlineData(12_345, 12, 345_000_000)]
    [InlineData(int.MaxValue, 2_147_483, 647_000_000)]
    public void Timespec_OfMilliseconds_IsSecondsAndTheRest(int milliseconds, long seconds, long nanoseconds)
    {
        Timespec time = Timespec.FromMilliseconds(milliseconds);

        Assert.Equal((seconds, nanoseconds), (time.Seconds, time.Nanoseconds));
    }

    private static int[] LayOut(int pack, int[] members, out int size)
    {
        int[] offsets = new int[members.Length];
        int end = 0;
        int largest = 1;
        for (int i = 0; i < members.Length; i++)
        {
            int alignment = Math.Min(members[i], pack);
            largest = Math.Max(largest, alignment);
            offsets[i] = (end + alignment - 1) / alignment * alignment;
            end = offsets[i] + members[i];
        }

        size = (end + largest - 1) / largest * largest;
        return offsets;
    }
}
