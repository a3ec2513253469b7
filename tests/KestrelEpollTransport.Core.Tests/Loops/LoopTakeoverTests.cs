using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests.Loops;

/// <summary>A loop whose thread is stuck in a dispatch, and another thread that goes on with it.</summary>
public sealed class LoopTakeoverTests : IDisposable
{
    private readonly LogRecorder _log = new();
    private readonly EventLoop _loop;
    private readonly TaskCompletionSource<Thread> _stuck = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ManualResetEventSlim _release = new();

    public LoopTakeoverTests()
    {
        _loop = new EventLoop(0, Poller.Create(), _log, EventLoop.DriveOnThread);
        EventLoop.DriveOnThread(_loop.Seats[0]);
    }

    public void Dispose()
    {
        _release.Set();
        _loop.Stop();
        Assert.True(_loop.WaitForEnd(Timeouts.Limit));
        _release.Dispose();
        _log.Dispose();
    }

    [Fact]
    public async Task PostedWork_BehindWorkThatIsStuck_IsRunByTheNextThreadInOrder()
    {
        List<int> ran = [];
        List<Thread> threads = [];
        TaskCompletionSource all = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await BlockedAsync(() =>
        {
            PostStuck();
            for (int i = 0; i < 5; i++)
            {
                int number = i;
                _loop.Post(new TestWork(() =>
                {
                    ran.Add(number);
                    threads.Add(Thread.CurrentThread);
                    if (number == 4)
                    {
                        all.SetResult();
                    }
                }));
            }
        });
        Thread stuck = await _stuck.Task.OrTimeout();
        Assert.Empty(ran);

        TakeOver();
        await all.Task.OrTimeout();

        Assert.Equal([0, 1, 2, 3, 4], ran);
        Assert.DoesNotContain(stuck, threads);
        Assert.Single(threads.Distinct());
        await AssertEndsWithoutTheLoopAsync(stuck);
    }

    [Fact]
    public async Task Events_OfTheSameBatchAsTheOneThatIsStuck_AreToldOnceByTheNextThread()
    {
        const int Count = 12;
        int[] told = new int[Count];
        int first = 0;
        using CountdownEvent others = new(Count - 1);
        List<(Socket Ours, Socket Peer)> pairs = [.. Enumerable.Range(0, Count).Select(_ => CreatePair())];
        TestHandler[] handlers = [.. Enumerable.Range(0, Count).Select(i => new TestHandler(_ =>
        {
            Interlocked.Increment(ref told[i]);
            if (Interlocked.Increment(ref first) == 1)
            {
                Stick();
                return;
            }

            others.Signal();
        }))];
        for (int i = 0; i < Count; i++)
        {
            Assert.False(_loop.Register(handlers[i], (int)pairs[i].Ours.Handle, Interest.Read).IsError);
        }

        // All of them become ready while the loop is held, so that one wait tells them.
        await BlockedAsync(() => pairs.ForEach(pair => pair.Peer.Send([1])));
        Thread stuck = await _stuck.Task.OrTimeout();
        TakeOver();

        Assert.True(others.Wait(Timeouts.Limit), $"{others.CurrentCount} were not told.");
        await AssertEndsWithoutTheLoopAsync(stuck);
        Assert.All(told, count => Assert.Equal(1, count));
        for (int i = 0; i < Count; i++)
        {
            _loop.Deregister(handlers[i], (int)pairs[i].Ours.Handle);
            pairs[i].Ours.Dispose();
            pairs[i].Peer.Dispose();
        }
    }

    [Fact]
    public async Task Timers_DueWithTheOneThatIsStuck_AreRunByTheNextThread()
    {
        TaskCompletionSource<Thread> second = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await BlockedAsync(() =>
        {
            _loop.Schedule(new TestWork(Stick), 0);
            _loop.Schedule(new TestWork(() => second.SetResult(Thread.CurrentThread)), 1);
        });
        Thread stuck = await _stuck.Task.OrTimeout();

        TakeOver();

        Assert.NotSame(stuck, await second.Task.OrTimeout());
        await AssertEndsWithoutTheLoopAsync(stuck);
    }

    [Fact]
    public async Task Stop_WhileADispatchIsStuckForEver_EndsTheLoopOnTheNextThread()
    {
        PostStuck();
        await _stuck.Task.OrTimeout();
        _loop.Stop();
        Assert.False(_loop.HasEnded);

        TakeOver();

        Assert.True(_loop.WaitForEnd(Timeouts.Limit));
    }

    [Fact]
    public async Task TryTake_OfADispatchThatReturned_IsRefused()
    {
        PostStuck();
        await _stuck.Task.OrTimeout();
        long dispatch = _loop.Seats[0].CurrentDispatch;
        Assert.NotEqual(0, dispatch);
        _release.Set();
        await Timeouts.UntilAsync(() => _loop.Seats[0].CurrentDispatch == 0);

        Assert.False(_loop.Seats[0].TryTake(dispatch, out IDispatched? dispatched));
        Assert.Null(dispatched);
    }

    [Fact]
    public async Task TryTake_WithTheNumberOfAnEarlierDispatch_IsRefused()
    {
        PostStuck();
        await _stuck.Task.OrTimeout();
        long first = _loop.Seats[0].CurrentDispatch;
        using ManualResetEventSlim again = new();
        TaskCompletionSource stuckAgain = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(new TestWork(() =>
        {
            stuckAgain.SetResult();
            again.Wait(Timeouts.Limit);
        }));
        _release.Set();
        await stuckAgain.Task.OrTimeout();

        Assert.False(_loop.Seats[0].TryTake(first, out _));
        Assert.True(_loop.Seats[0].TryTake(_loop.Seats[0].CurrentDispatch, out _));
        again.Set();
        EventLoop.DriveOnThread(_loop.Seats[0]);
    }

    [Fact]
    public async Task TryTake_SeveralTimesInARow_LosesNothing()
    {
        // Each thread in turn gets stuck, and the next one goes on.
        const int Times = 8;
        List<Thread> threads = [];
        for (int i = 0; i < Times; i++)
        {
            TaskCompletionSource stuck = new(TaskCreationOptions.RunContinuationsAsynchronously);
            _loop.Post(new TestWork(() =>
            {
                threads.Add(Thread.CurrentThread);
                stuck.SetResult();
                _release.Wait(Timeouts.Limit);
            }));
            await stuck.Task.OrTimeout();
            TakeOver();
        }

        TaskCompletionSource last = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(new TestWork(last.SetResult));
        await last.Task.OrTimeout();
        Assert.Equal(Times, threads.Distinct().Count());
        _release.Set();
        Assert.All(threads, thread => Assert.True(thread.Join(Timeouts.Limit)));
        Assert.False(_loop.HasEnded);
    }

    private static (Socket Ours, Socket Peer) CreatePair()
    {
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        Socket peer = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        peer.Connect(listener.LocalEndPoint!);
        return (listener.Accept(), peer);
    }

    // Holds the loop in a dispatch of its own while something is prepared.
    private async Task BlockedAsync(Action prepare)
    {
        using ManualResetEventSlim prepared = new();
        TaskCompletionSource held = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource left = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(new TestWork(() =>
        {
            held.SetResult();
            prepared.Wait(Timeouts.Limit);
            left.SetResult();
        }));
        await held.Task.OrTimeout();
        prepare();
        prepared.Set();
        await left.Task.OrTimeout();
    }

    private void PostStuck() => _loop.Post(new TestWork(Stick));

    private void Stick()
    {
        _stuck.SetResult(Thread.CurrentThread);
        _release.Wait(Timeouts.Limit);
    }

    private void TakeOver()
    {
        Assert.True(_loop.Seats[0].TryTake(_loop.Seats[0].CurrentDispatch, out IDispatched? dispatched));
        Assert.NotNull(dispatched);
        EventLoop.DriveOnThread(_loop.Seats[0]);
    }

    private async Task AssertEndsWithoutTheLoopAsync(Thread stuck)
    {
        Assert.True(stuck.IsAlive);
        _release.Set();
        Assert.True(stuck.Join(Timeouts.Limit));
        TaskCompletionSource alive = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(new TestWork(alive.SetResult));
        await alive.Task.OrTimeout();
        Assert.False(_loop.HasEnded);
    }
}
