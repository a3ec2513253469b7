using System.Reflection;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Tests.Locking;

public class UninterruptedQueueTests
{
    private const int Threads = 8;
    private const int Items = 60_000;
    private const BindingFlags Any = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

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
                    if (!queue.IsEmpty && queue.TryDequeue(out int item))
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

    [Fact]
    public async Task IsEmpty_BesideAnItemThatIsHalfEnqueued_OnAnInterruptedThread_WaitsForIt()
    {
        UninterruptedQueue<int> queue = new();
        queue.Enqueue(1);
        Assert.True(queue.TryDequeue(out _));
        TaskCompletionSource looking = new(TaskCreationOptions.RunContinuationsAsynchronously);

        // As if a thread had taken the place of an item and been stopped before it wrote the item.
        MoveTail(queue, 1);
        Task looks = OnThread(() =>
        {
            Thread.CurrentThread.Interrupt();
            looking.SetResult();
            _ = queue.IsEmpty;
            Assert.Throws<ThreadInterruptedException>(() => Thread.Sleep(0));
        });
        await looking.Task.OrTimeout();

        // Time for the runtime's spinning to come to its sleep. One that does not make use of it proves nothing, and fails nothing.
        for (int i = 0; i < 10_000 && !looks.IsCompleted; i++)
        {
            Thread.Yield();
        }

        Assert.False(looks.IsCompleted, "It neither waited for the item nor threw.");
        MoveTail(queue, -1);
        queue.Enqueue(2);
        await looks.OrTimeout();
        Assert.True(queue.TryDequeue(out int item));
        Assert.Equal(2, item);
    }

    private static void MoveTail(UninterruptedQueue<int> queue, int by)
    {
        object runtimes = GetField(queue, "_queue");
        object segment = GetField(runtimes, "_tail");
        FieldInfo places = segment.GetType().GetField("_headAndTail", Any)!;
        object padded = places.GetValue(segment)!;
        FieldInfo tail = padded.GetType().GetField("Tail", Any)!;
        tail.SetValue(padded, (int)tail.GetValue(padded)! + by);
        places.SetValue(segment, padded);
    }

    private static object GetField(object of, string name) => of.GetType().GetField(name, Any)!.GetValue(of)!;

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
