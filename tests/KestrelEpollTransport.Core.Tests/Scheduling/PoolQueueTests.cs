using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Scheduling;

public class PoolQueueTests
{
    private static readonly AsyncLocal<string?> s_local = new();

    [Fact]
    public async Task Enqueue_FromManyThreads_EverythingRunsOnce()
    {
        PoolQueue queue = new();
        const int Posters = 4, Each = 20_000;
        int[] ran = new int[Posters * Each];
        CountdownEvent left = new(ran.Length);

        await Task.WhenAll(Enumerable.Range(0, Posters).Select(poster => Task.Run(() =>
        {
            for (int i = 0; i < Each; i++)
            {
                int number = (poster * Each) + i;
                queue.Enqueue(new Work(() =>
                {
                    Interlocked.Increment(ref ran[number]);
                    left.Signal();
                }));
            }
        }))).OrTimeout();

        Assert.True(left.Wait(Timeouts.Limit), $"{left.CurrentCount} pieces of work never ran.");
        Assert.All(ran, count => Assert.Equal(1, count));
        left.Dispose();
    }

    [Fact]
    public void Enqueue_WorkThatBlocks_KeepsNothingElseWaiting()
    {
        PoolQueue queue = new();
        using ManualResetEventSlim entered = new();
        using ManualResetEventSlim release = new();
        using CountdownEvent others = new(50);
        queue.Enqueue(new Work(() =>
        {
            entered.Set();
            release.Wait();
        }));
        for (int i = 0; i < 25; i++)
        {
            queue.Enqueue(new Work(() => others.Signal()));
        }

        Assert.True(entered.Wait(Timeouts.Limit));
        for (int i = 0; i < 25; i++)
        {
            queue.Enqueue(new Work(() => others.Signal()));
        }

        bool ran = others.Wait(Timeouts.Limit);
        release.Set();
        Assert.True(ran, "Work waited behind work that blocks.");
    }

    [Fact]
    public async Task Run_WorkThatChangesItsThread_NextWorkSeesNothingOfIt()
    {
        PoolQueue queue = new();
        List<string?> seen = [];
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Lock gate = new();
        const int Pieces = 200;

        for (int i = 0; i < Pieces; i++)
        {
            queue.Enqueue(new Work(() =>
            {
                lock (gate)
                {
                    seen.Add($"{s_local.Value ?? "none"} {SynchronizationContext.Current?.ToString() ?? "none"}");
                    if (seen.Count == Pieces)
                    {
                        done.SetResult();
                    }
                }

                s_local.Value = "changed";
                SynchronizationContext.SetSynchronizationContext(new SynchronizationContext());
            }));
        }

        await done.Task.OrTimeout();
        Assert.All(seen, text => Assert.Equal("none none", text));
    }

    private sealed class Work(Action action) : IThreadPoolWorkItem
    {
        public void Execute() => action();
    }
}
