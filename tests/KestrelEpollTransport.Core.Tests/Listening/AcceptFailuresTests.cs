using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Tests.Listening;

public class AcceptErrorsTests
{
    [Theory]
    [InlineData(Errno.EAGAIN, nameof(AcceptError.None))]
    [InlineData(Errno.ECONNABORTED, nameof(AcceptError.ConnectionGone))]
    [InlineData(Errno.ECONNRESET, nameof(AcceptError.ConnectionGone))]
    [InlineData(Errno.EMFILE, nameof(AcceptError.OutOfResources))]
    [InlineData(Errno.ENFILE, nameof(AcceptError.OutOfResources))]
    [InlineData(Errno.ENOBUFS, nameof(AcceptError.OutOfResources))]
    [InlineData(Errno.ENOMEM, nameof(AcceptError.OutOfResources))]
    [InlineData(Errno.EBADF, nameof(AcceptError.Unusable))]
    [InlineData(Errno.EINVAL, nameof(AcceptError.Unusable))]
    [InlineData(Errno.ENOTSOCK, nameof(AcceptError.Unusable))]
    [InlineData(Errno.EOPNOTSUPP, nameof(AcceptError.Unusable))]
    [InlineData(Errno.EPERM, nameof(AcceptError.OneConnection))]
    [InlineData(Errno.EPROTO, nameof(AcceptError.OneConnection))]
    [InlineData(Errno.ENETDOWN, nameof(AcceptError.OneConnection))]
    [InlineData(Errno.ENETUNREACH, nameof(AcceptError.OneConnection))]
    [InlineData(Errno.ENOPROTOOPT, nameof(AcceptError.OneConnection))]
    [InlineData(Errno.EHOSTDOWN, nameof(AcceptError.OneConnection))]
    [InlineData(Errno.EHOSTUNREACH, nameof(AcceptError.OneConnection))]
    [InlineData(Errno.ETIMEDOUT, nameof(AcceptError.OneConnection))]
    [InlineData(9999, nameof(AcceptError.OneConnection))]
    public void Classify_ErrorOfAccept_SaysWhatToDo(int errno, string expected) =>
        Assert.Equal(expected, AcceptErrors.Classify(errno).ToString());
}
