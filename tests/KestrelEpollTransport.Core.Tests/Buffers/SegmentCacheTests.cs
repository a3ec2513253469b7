using System.Buffers;
using System.Collections.Concurrent;
using KestrelEpollTransport.Buffers;

namespace KestrelEpollTransport.Tests.Buffers;

/// <summary>One thread's unused segments serve another one; counted, so alone: the cache is the process's.</summary>
[Collection(RunsAlone.Name)]
public class SegmentCacheTests
{
    private static readonly byte[] s_block = new byte[16];

    [Theory]
    [InlineData(1)]
    [InlineData(SegmentCache.Rounds)]
    [InlineData(SegmentCache.Rounds * 5)]
    public async Task ThreadThatOnlyRents_LivesOnWhatAnotherReturns(int burst)
    {
        const int WarmUpBursts = 400;
        using BlockingCollection<BufferSegment[]> rented = [];
        using BlockingCollection<BufferSegment[]> empty = [];
        Task returning = Task.Factory.StartNew(
            () =>
            {
                foreach (BufferSegment[] batch in rented.GetConsumingEnumerable())
                {
                    Array.ForEach(batch, static segment => segment.Release());
                    empty.Add(batch);
                }
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        long allocated = 0;
        Task renting = Task.Factory.StartNew(
            () =>
            {
                BufferSegment[] batch = new BufferSegment[burst];
                for (int i = 0; i < 2 * WarmUpBursts; i++)
                {
                    long before = GC.GetAllocatedBytesForCurrentThread();
                    for (int j = 0; j < burst; j++)
                    {
                        batch[j] = BufferSegment.Create(s_block, Owner.Instance);
                    }

                    allocated += i < WarmUpBursts ? 0 : GC.GetAllocatedBytesForCurrentThread() - before;
                    rented.Add(batch);
                    batch = empty.Take();
                }
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        await renting.OrTimeout();
        rented.CompleteAdding();
        await returning.OrTimeout();
        Assert.Equal(0, allocated);
    }

    [Fact]
    public void Burst_IsNotKeptForEver()
    {
        const int Burst = 10_000;
        HashSet<BufferSegment> first = Rent(Burst);
        Assert.Equal(Burst, first.Count);
        foreach (BufferSegment segment in first)
        {
            segment.Release();
        }

        HashSet<BufferSegment> second = Rent(Burst);

        int kept = second.Count(first.Contains);
        Assert.InRange(kept, SegmentCache.Rounds, Burst / 2);
        Assert.Equal(Burst, second.Count);
        Assert.All(second, segment => Assert.Null(segment.Following));
    }

    private static HashSet<BufferSegment> Rent(int count) =>
        [.. Enumerable.Range(0, count).Select(_ => BufferSegment.Create(s_block, Owner.Instance))];

    private sealed class Owner : IMemoryOwner<byte>
    {
        public static readonly Owner Instance = new();

        public Memory<byte> Memory => s_block;

        public void Dispose()
        {
        }
    }
}
