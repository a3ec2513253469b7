using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests.Loops;

public sealed class LoopGroupTests : IDisposable
{
    private readonly LogRecorder _log = new();
    private readonly LoopGroup _group;

    public LoopGroupTests() => _group = new LoopGroup(4, EventLoop.DriveOnThread, _log);

    public void Dispose()
    {
        _group.Dispose();
        _log.Dispose();
    }

    [Fact]
    public async Task Loops_FirstAskedForByManyAtOnce_AreStartedOnce()
    {
        Assert.Empty(_group.Started);
        using Barrier together = new(4);

        EventLoop[][] seen = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Factory.StartNew(
            () =>
            {
                Assert.True(together.SignalAndWait(Timeouts.Limit));
                return _group.Loops;
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default))).OrTimeout();

        Assert.All(seen, loops => Assert.Equal(seen[0], loops));
        Assert.Equal([0, 1, 2, 3], seen[0].Select(loop => loop.Index));
        Thread[] threads = await Task.WhenAll(seen[0].Select(ThreadOfAsync)).OrTimeout();
        Assert.Equal(4, threads.Distinct().Count());
    }

    [Fact]
    public async Task Dispose_OfALoopThatIsHeldUntilWhatWaitsForItRuns_HasThePoolRunThat()
    {
        using LoopGroup group = new(1, EventLoop.DriveOnThread, _log) { EndTimeout = TimeSpan.FromMilliseconds(50) };
        EventLoop loop = group.Loops[0];
        TaskCompletionSource holds = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using ManualResetEventSlim ran = new();
        loop.Post(new TestWork(() =>
        {
            holds.SetResult();
            ran.Wait(Timeouts.Limit + Timeouts.Limit);
        }));
        await holds.Task.OrTimeout();
        TaskCompletionSource before = new(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(new TestWork(before.SetResult));

        group.Dispose();

        await before.Task.OrTimeout();
        loop.Post(new TestWork(ran.Set));
        Assert.True(loop.WaitForEnd(Timeouts.Limit));
    }

    [Fact]
    public void Balance_WhereOneLoopAcceptsEverything_SpreadsIt()
    {
        EventLoop[] loops = _group.Loops;

        for (int i = 0; i < 400; i++)
        {
            _group.Balance(loops[0]).AddLoad(1);
        }

        Assert.Equal(400, loops.Sum(loop => loop.Load));
        Assert.All(loops, loop => Assert.InRange(loop.Load, 85, 125));
    }

    [Fact]
    public void Balance_OfLoopsThatAreAlike_StaysWithTheOneThatAccepts()
    {
        EventLoop[] loops = _group.Loops;
        Array.ForEach(loops, loop => loop.AddLoad(100));
        loops[2].AddLoad(5);

        for (int i = 0; i < 8; i++)
        {
            Assert.Same(loops[2], _group.Balance(loops[2]));
        }
    }

    [Fact]
    public void Next_OfIdleLoops_SpreadsTheConnections()
    {
        EventLoop[] loops = _group.Loops;

        for (int i = 0; i < 400; i++)
        {
            _group.Next().AddLoad(1);
        }

        Assert.Equal(400, loops.Sum(loop => loop.Load));
        Assert.All(loops, loop => Assert.InRange(loop.Load, 85, 115));
    }

    [Fact]
    public async Task Dispose_OfAStartedGroup_EndsItsNamedThreadsAndAbandonsItsHandlers()
    {
        EventLoop[] loops = _group.Loops;
        Thread[] threads = await Task.WhenAll(loops.Select(ThreadOfAsync)).OrTimeout();
        Assert.Equal(["epoll loop 0", "epoll loop 1", "epoll loop 2", "epoll loop 3"], threads.Select(thread => thread.Name));
        Assert.All(threads, thread => Assert.True(thread.IsBackground));
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        socket.Listen();
        TestHandler[] handlers = [.. loops.Select(_ => new TestHandler())];
        for (int i = 0; i < loops.Length; i++)
        {
            Assert.False(loops[i].RegisterShared(handlers[i], (int)socket.Handle).IsError);
        }

        _group.Dispose();

        Assert.All(threads, thread => Assert.True(thread.Join(Timeouts.Limit)));
        Assert.All(handlers, handler => Assert.True(handler.Abandoned.Task.IsCompleted));
        Assert.All(loops, AssertPollerIsClosed);
        Assert.Throws<ObjectDisposedException>(() => _group.Next());
        Assert.Empty(_log.All());
    }

    [Fact]
    public async Task Dispose_WithWorkPostedBehindWorkThatBlocks_HandsItToThePool()
    {
        EventLoop loop = _group.Loops[0];
        using ManualResetEventSlim release = new();
        TaskCompletionSource busy = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource<bool> ran = new(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(new TestWork(() =>
        {
            busy.SetResult();
            release.Wait(Timeouts.Limit);
        }));
        await busy.Task.OrTimeout();
        loop.Post(new TestWork(() => ran.SetResult(Thread.CurrentThread.IsThreadPoolThread)));

        Task disposed = Task.Run(_group.Dispose);

        // The last one is idle and ends while the first one is held: by then all have been told to stop.
        EventLoop last = _group.Started[3];
        await Timeouts.UntilAsync(() =>
        {
            TaskCompletionSource<bool> probe = new(TaskCreationOptions.RunContinuationsAsynchronously);
            last.Post(new TestWork(() => probe.SetResult(Thread.CurrentThread.IsThreadPoolThread)));
            return probe.Task.Wait(Timeouts.Limit) && probe.Task.Result;
        });
        release.Set();

        await disposed.OrTimeout();
        Assert.True(await ran.Task.OrTimeout(), "Ran on the loop.");
    }

    [Fact]
    public async Task Dispose_OnALoopsOwnThread_DoesNotWaitForItself()
    {
        Thread thread = await ThreadOfAsync(_group.Loops[1]).OrTimeout();
        TaskCompletionSource disposed = new(TaskCreationOptions.RunContinuationsAsynchronously);

        _group.Started[1].Post(new TestWork(() =>
        {
            _group.Dispose();
            disposed.SetResult();
        }));

        await disposed.Task.OrTimeout();
        Assert.True(thread.Join(Timeouts.Limit));
        Assert.All(_group.Started, AssertPollerIsClosed);
        Assert.Empty(_log.All());
    }

    [Fact]
    public async Task Dispose_WithEveryLoopHeldByApplicationCode_WaitsOnceForAll()
    {
        using ManualResetEventSlim release = new();
        using CountdownEvent held = new(4);
        LoopGroup group = new(4, EventLoop.DriveOnThread, _log) { EndTimeout = TimeSpan.FromSeconds(1) };
        EventLoop[] loops = group.Loops;
        Array.ForEach(loops, loop => loop.Post(new TestWork(() =>
        {
            held.Signal();
            release.Wait(Timeouts.Limit);
        })));
        Assert.True(held.Wait(Timeouts.Limit));
        long began = Stopwatch.GetTimestamp();

        await Task.Run(group.Dispose).OrTimeout();

        Assert.True(Stopwatch.GetElapsedTime(began) < 3 * group.EndTimeout, "It waited for one after the other.");
        Assert.All(loops, loop => Assert.False(loop.WaitForEnd(TimeSpan.Zero)));
        release.Set();
        Assert.All(loops, loop => Assert.True(loop.WaitForEnd(Timeouts.Limit)));
    }

    [Fact]
    public void Dispose_OfAGroupThatNeverStarted_EndsIt()
    {
        _group.Dispose();
        _group.Dispose();

        Assert.Empty(_group.Started);
        Assert.Throws<ObjectDisposedException>(() => _group.Loops.Length);
    }

    // An open one would say ENOENT: nothing is registered under this number.
    private static void AssertPollerIsClosed(EventLoop loop) =>
        Assert.Equal(Errno.EBADF, loop.Modify(new TestHandler(), 0, Interest.Read).Errno);

    private static Task<Thread> ThreadOfAsync(EventLoop loop)
    {
        TaskCompletionSource<Thread> result = new(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(new TestWork(() => result.SetResult(Thread.CurrentThread)));
        return result.Task;
    }

    [Fact]
    public async Task Loops_OneThatEnded_GetsNothingMore()
    {
        List<BrokenPoller> pollers = [];
        using LoopGroup group = new(3, EventLoop.DriveOnThread, _log, new LoopSettings { CreatePoller = CreateBroken });
        EventLoop[] loops = group.Loops;
        Assert.All(loops, loop => loop.AddLoad(100));
        loops[1].AddLoad(-100);

        pollers[1].Break(new InvalidOperationException("on purpose"));
        await Timeouts.UntilAsync(() => loops[1].HasEnded);

        for (int i = 0; i < 10; i++)
        {
            Assert.NotSame(loops[1], group.Next());
            Assert.NotSame(loops[1], group.Balance(loops[0]));
            Assert.NotSame(loops[1], group.ForListener()[0]);
            Assert.NotSame(loops[1], group.FindLiving());
        }

        pollers.ForEach(poller => poller.Break(new InvalidOperationException("on purpose")));
        await Timeouts.UntilAsync(() => Array.TrueForAll(loops, loop => loop.HasEnded));
        Assert.Null(group.FindLiving());

        BrokenPoller CreateBroken()
        {
            BrokenPoller poller = new(Poller.Create());
            pollers.Add(poller);
            return poller;
        }
    }
}
