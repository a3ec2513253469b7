using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Tests.Listening;

public class AcceptFailuresTests
{
    [Theory]
    [InlineData(Errno.EAGAIN, nameof(AcceptError.NothingWaits))]
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
        Assert.Equal(expected, AcceptFailures.Classify(errno).ToString());

    [Fact]
    public void Delay_FailureAfterFailure_DoublesFrom20To1000Milliseconds()
    {
        AcceptFailures failures = new();

        int[] delays = [.. Enumerable.Range(0, 9).Select(_ => failures.NextDelayMs())];

        Assert.Equal([20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000], delays);
    }

    [Fact]
    public void Delay_AfterSomethingWasAccepted_BeginsAgain()
    {
        AcceptFailures failures = new();
        failures.NextDelayMs();
        failures.NextDelayMs();

        failures.Reset();

        Assert.Equal(20, failures.NextDelayMs());
        Assert.Equal(40, failures.NextDelayMs());
    }

    [Fact]
    public void Report_OfManyFailuresInAShortTime_IsMadeOnce()
    {
        AcceptFailures failures = new();

        Assert.True(failures.ShouldReport(out long count));
        Assert.Equal(1, count);
        Assert.DoesNotContain(true, Enumerable.Range(0, 1_000).Select(_ => failures.ShouldReport(out long _)));
    }

    [Fact]
    public void Report_OfManyThreadsAtOnce_IsMadeOnce()
    {
        AcceptFailures failures = new();
        int reports = 0;

        Parallel.For(0, 10_000, _ =>
        {
            if (failures.ShouldReport(out long _))
            {
                Interlocked.Increment(ref reports);
            }
        });

        Assert.Equal(1, reports);
    }

    [Fact]
    public void Report_AfterAReset_StaysLimited()
    {
        // One accept between failures must not make the log a line a failure.
        AcceptFailures failures = new();
        Assert.True(failures.ShouldReport(out long _));

        failures.NextDelayMs();
        failures.Reset();

        Assert.False(failures.ShouldReport(out long count));
        Assert.Equal(1, count);
    }
}
