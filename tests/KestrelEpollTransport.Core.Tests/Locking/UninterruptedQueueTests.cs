using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Tests.Locking;

public class UninterruptedQueueTests
{
    private const int Threads = 8;
    private const int Items = 60_000;

    [Fact]
    public async Task Queue_UsedByThreadsThatAreInterruptedAllTheTime_LosesNothing()
    {
        UninterruptedQueue<int> queue = new();
        long sum = 0;
        int left = Threads * Items;
        Task[] threads =
        [
            .. Enumerable.Range(0, Threads).Select(_ => OnThread(() =>
            {
                for (int i = 1; i <= Items; i++)
                {
                    Thread.CurrentThread.Interrupt();
                    queue.Enqueue(i);
                    _ = queue.Count;
                }
            })),
            .. Enumerable.Range(0, Threads).Select(_ => OnThread(() =>
            {
                while (Volatile.Read(ref left) > 0)
                {
                    Thread.CurrentThread.Interrupt();
                    if (queue.TryDequeue(out int item))
                    {
                        Interlocked.Add(ref sum, item);
                        Interlocked.Decrement(ref left);
                    }
                }
            })),
        ];

        await Task.WhenAll(threads).OrTimeout();

        Assert.Equal(Threads * (Items * (Items + 1L) / 2), sum);
        Assert.True(queue.IsEmpty);
    }

    private static Task OnThread(Action run)
    {
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        new Thread(() =>
        {
            try
            {
                run();
                done.SetResult();
            }
            catch (Exception exception)
            {
                done.SetException(exception);
            }
        })
        { IsBackground = true }.Start();
        return done.Task;
    }
}
