using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>A loop that reads on after its read has failed.</summary>
[Collection(RunsAlone.Name)]
public class FailedReadTests
{
    private const int Reads = 4_000;

    /// <summary>Sockets allocates 1.3 MB; a trace that grew with each throw would make it gigabytes.</summary>
    private const long MaxAllocated = 40 * 1024 * 1024;

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task FailedRead_Retried_AllocatesLittleAndItsTraceDoesNotGrow(TransportKind kind, bool reset)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        if (reset)
        {
            pair.Client.Reset();
        }
        else
        {
            pair.Server.Abort(new ConnectionAbortedException("the test wants it"));
        }

        await pair.Closed.OrTimeout();
        string first = await FailAsync(pair, 1);

        long before = GC.GetTotalAllocatedBytes(precise: true);
        string last = await FailAsync(pair, Reads);
        long allocated = GC.GetTotalAllocatedBytes(precise: true) - before;

        Assert.InRange(allocated, 0, MaxAllocated);
        Assert.InRange(last.Length, 0, 10 * first.Length);
    }

    /// <summary>Returns the stack trace of the last failure.</summary>
    private static async Task<string> FailAsync(ConnectionPair pair, int times)
    {
        Exception? last = null;
        for (int i = 0; i < times; i++)
        {
            try
            {
                await pair.Input.ReadAsync();
                Assert.Fail("The read did not fail.");
            }
            catch (Exception error) when (error is ConnectionAbortedException or ConnectionResetException)
            {
                last = error;
            }
        }

        return last!.StackTrace!;
    }
}
