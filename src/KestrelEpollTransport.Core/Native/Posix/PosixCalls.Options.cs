using System.Net.Sockets;

namespace KestrelEpollTransport.Native.Posix;

/// <content>What is set or asked once a socket, or on demand: one implementation for every system, as no request waits for it.</content>
internal static unsafe partial class PosixCalls
{
    // sys/file.h, the same on each of the systems.
    private const int LOCK_EX = 2;
    private const int LOCK_NB = 4;
    private const int LOCK_UN = 8;
    private const int O_RDWR = 2;

    // linux/fcntl.h, linux/stat.h; the last two are S_IFMT and S_IFSOCK there.
    private const int AT_FDCWD = -100;
    private const int AT_SYMLINK_NOFOLLOW = 0x100;
    private const uint STATX_TYPE = 1;
    private const int FileTypeMask = 0xF000;
    private const int SocketFileType = 0xC000;

    /// <summary>Where stx_mode is, 16 bits, in struct statx.</summary>
    private const int StatusMode = 28;

    /// <summary>For the owner alone: to open a file is enough to lock it.</summary>
    private const uint OwnerOnly = 0b110_000_000;

    public static bool HasOption(KernelOption option) => s_numbers.Options.ContainsKey(option);

    public static IoResult SetOption(int descriptor, KernelOption option, ReadOnlySpan<byte> value)
    {
        if (!s_numbers.Options.TryGetValue(option, out OptionNumber number))
        {
            return IoResult.Failure(Errno.ENOPROTOOPT);
        }

        fixed (byte* pointer = value)
        {
            return Result(LibraryCalls.SetSocketOption(descriptor, number.Level, number.Number, pointer, (uint)value.Length));
        }
    }

    /// <summary>Returns how many bytes of <paramref name="value"/> the kernel has written.</summary>
    public static IoResult GetOption(int descriptor, KernelOption option, Span<byte> value)
    {
        if (!s_numbers.Options.TryGetValue(option, out OptionNumber number))
        {
            return IoResult.Failure(Errno.ENOPROTOOPT);
        }

        uint length = (uint)value.Length;
        fixed (byte* pointer = value)
        {
            IoResult result = Result(LibraryCalls.GetSocketOption(descriptor, number.Level, number.Number, pointer, &length));
            return result.IsError ? result : IoResult.Success(length);
        }
    }

    public static IoResult CreateMultipathStream(AddressFamily family)
    {
        int number = family == AddressFamily.InterNetwork ? AF_INET : s_numbers.AF_INET6;
        return Result(LibraryCalls.Socket(number, SOCK_STREAM | s_numbers.CreationFlags, s_numbers.IPPROTO_MPTCP));
    }

    public static IoResult SetFileMode(string path, UnixFileMode mode) => Result(LibraryCalls.ChangeMode(path, (uint)mode));

    public static IoResult RemoveFile(string path) => Result(LibraryCalls.Unlink(path));

    public static IoResult LockFile(string path)
    {
        // No link: in a folder that everybody may write to, it could lead to any file of ours.
        IoResult opened = Result(LibraryCalls.Open(path, O_RDWR | s_numbers.O_CREAT | s_numbers.O_CLOEXEC | s_numbers.O_NOFOLLOW, OwnerOnly));
        if (opened.IsError)
        {
            return opened;
        }

        IoResult locked = Result(LibraryCalls.Lock((int)opened.Value, LOCK_EX | LOCK_NB));
        if (locked.IsError)
        {
            Close((int)opened.Value);
            return locked;
        }

        return opened;
    }

    public static void UnlockFile(int descriptor)
    {
        // A child process has the descriptor, too, from its fork to its exec: to close ours would leave it the lock for that moment.
        _ = LibraryCalls.Lock(descriptor, LOCK_UN);
        Close(descriptor);
    }

    public static bool IsSocketFile(string path)
    {
        // statx(2): unlike stat's, its structure is the same on every architecture. A mode that lets nobody read the file does not matter.
        byte* status = stackalloc byte[256];
        return !Result(LibraryCalls.GetStatus(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, status)).IsError
            && (*(ushort*)(status + StatusMode) & FileTypeMask) == SocketFileType;
    }
}
