namespace KestrelEpollTransport.Native;

/// <summary>
/// What a system call returned: a count or a descriptor when it succeeded, the error number when it failed.
/// A value, because would-block and a reset by the peer are daily events and must not cost an exception.
/// </summary>
internal readonly struct IoResult
{
    private readonly long _value;

    private IoResult(long value) => _value = value;

    /// <summary>Whether the call failed; then <see cref="Errno"/> says why.</summary>
    public bool IsError => _value < 0;

    /// <summary>What a successful call returned.</summary>
    public long Value => _value;

    /// <summary>The error number of a failed call, one of <see cref="Native.Errno"/>; 0 after success.</summary>
    public int Errno => _value < 0 ? (int)-_value : 0;

    /// <summary>The call would have had to wait: EAGAIN, which is EWOULDBLOCK on every system here.</summary>
    public bool WouldBlock => _value == -Native.Errno.EAGAIN;

    /// <summary>The peer reset the connection, or it is gone while we were sending (EPIPE).</summary>
    public bool IsReset => _value is -Native.Errno.ECONNRESET or -Native.Errno.EPIPE;

    public static IoResult Success(long value) => new(value);

    public static IoResult Failure(int errno) => new(-errno);
}
