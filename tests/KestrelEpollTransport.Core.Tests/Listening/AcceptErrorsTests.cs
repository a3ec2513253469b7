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
    [InlineData(Errno.EPERM, nameof(AcceptError.OneConnection))]
    [InlineData(Errno.EPROTO, nameof(AcceptError.OneConnection))]
    [InlineData(Errno.ENETDOWN, nameof(AcceptError.OneConnection))]
    [InlineData(Errno.EHOSTUNREACH, nameof(AcceptError.OneConnection))]
    [InlineData(Errno.EBADF, nameof(AcceptError.Unusable))]
    [InlineData(Errno.EINVAL, nameof(AcceptError.Unusable))]
    [InlineData(Errno.ENOTSOCK, nameof(AcceptError.Unusable))]
    public void Classify_ErrnosOfAccept_SaysWhatToDo(int errno, string expected) =>
        Assert.Equal(expected, AcceptErrors.Classify(errno).ToString());

    [Fact]
    public void BackOff_FailuresInARow_WaitsTwiceAsLongUpToASecondAndStartsAnewAfterSuccess()
    {
        AcceptBackOff backOff = new();

        Assert.Equal([20, 40, 80, 160, 320, 640, 1000, 1000], Enumerable.Range(0, 8).Select(_ => backOff.NextDelayMs()));
        backOff.Reset();
        Assert.Equal(20, backOff.NextDelayMs());
    }

    [Fact]
    public void BackOff_ManyFailures_ReportsTheFirstAndCountsTheRest()
    {
        AcceptBackOff backOff = new();

        Assert.True(backOff.ShouldReport(out long first));
        Assert.Equal(1, first);
        for (int i = 0; i < 1000; i++)
        {
            Assert.False(backOff.ShouldReport(out long unreported));
            Assert.Equal(i + 1, unreported);
        }
    }
}
