using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Listening;

/// <summary>What an error of accept(2) says about the listener.</summary>
internal enum AcceptError
{
    /// <summary>Nothing waits: another loop was faster.</summary>
    None,

    /// <summary>The connection was gone before it was accepted: take the next one.</summary>
    ConnectionGone,

    /// <summary>Descriptors, buffers or memory ran out: trying again at once would only spin.</summary>
    OutOfResources,

    /// <summary>Something about one connection, or about the network under it.</summary>
    OneConnection,

    /// <summary>The listening descriptor itself is of no use, and won't be.</summary>
    Unusable,
}

/// <summary>Sorts the errors of accept(2) by what to do about them.</summary>
internal static class AcceptErrors
{
    public static AcceptError Classify(int errno) => errno switch
    {
        Errno.EAGAIN => AcceptError.None,
        Errno.ECONNABORTED or Errno.ECONNRESET => AcceptError.ConnectionGone,
        Errno.EMFILE or Errno.ENFILE or Errno.ENOBUFS or Errno.ENOMEM => AcceptError.OutOfResources,
        Errno.EBADF or Errno.EINVAL or Errno.ENOTSOCK or Errno.EOPNOTSUPP => AcceptError.Unusable,
        // EPERM (a firewall's), EPROTO, ENETDOWN, EHOSTUNREACH and what else the manual lets through.
        _ => AcceptError.OneConnection,
    };
}
