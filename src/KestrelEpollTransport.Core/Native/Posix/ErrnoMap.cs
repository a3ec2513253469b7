namespace KestrelEpollTransport.Native.Posix;

/// <summary>Translates a BSD's error numbers into those of <see cref="Errno"/>. Immutable.</summary>
/// <remarks>
/// Up to 34 the numbers are those of the seventh edition of Unix, the same everywhere but for 11. From 35 on each family
/// went its own way. Source: sys/errno.h, versions as of <see cref="SystemNumbers"/>.
/// </remarks>
internal sealed class ErrnoMap
{
    private const int LastCommon = 34;

    // 11 was EAGAIN once; it is EDEADLK on the BSDs.
    private const int BsdDeadlock = 11;

    private static readonly (int Native, int Errno)[] s_bsd =
    [
        (35, Errno.EAGAIN),
        (36, Errno.EINPROGRESS),
        (37, Errno.EALREADY),
        (38, Errno.ENOTSOCK),
        (39, Errno.EDESTADDRREQ),
        (40, Errno.EMSGSIZE),
        (41, Errno.EPROTOTYPE),
        (42, Errno.ENOPROTOOPT),
        (45, Errno.EOPNOTSUPP),
        (47, Errno.EAFNOSUPPORT),
        (48, Errno.EADDRINUSE),
        (49, Errno.EADDRNOTAVAIL),
        (50, Errno.ENETDOWN),
        (51, Errno.ENETUNREACH),
        (53, Errno.ECONNABORTED),
        (54, Errno.ECONNRESET),
        (55, Errno.ENOBUFS),
        (56, Errno.EISCONN),
        (57, Errno.ENOTCONN),
        // ESHUTDOWN, "can't send after socket shutdown": some protocols say it where others say EPIPE.
        (58, Errno.EPIPE),
        (60, Errno.ETIMEDOUT),
        (61, Errno.ECONNREFUSED),
        (64, Errno.EHOSTDOWN),
        (65, Errno.EHOSTUNREACH),
    ];

    private readonly int[] _errnos = new int[128];

    private ErrnoMap(params ReadOnlySpan<(int Native, int Errno)> own)
    {
        for (int native = 0; native < _errnos.Length; native++)
        {
            _errnos[native] = native <= LastCommon && native != BsdDeadlock ? native : Errno.Foreign(native);
        }

        foreach ((int native, int errno) in (ReadOnlySpan<(int, int)>)[.. s_bsd, .. own])
        {
            _errnos[native] = errno;
        }
    }

    // EOPNOTSUPP has a number of its own beside ENOTSUP.
    public static ErrnoMap Darwin { get; } = new((100, Errno.EPROTO), (102, Errno.EOPNOTSUPP));

    public static ErrnoMap FreeBsd { get; } = new((92, Errno.EPROTO));

    public int ToErrno(int native) => (uint)native < (uint)_errnos.Length ? _errnos[native] : Errno.Foreign(native);
}
