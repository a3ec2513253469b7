using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using KestrelEpollTransport.Tests.Scheduling;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Tests.Loops;

/// <summary>One loop on its own thread.</summary>
public sealed class EventLoopTests : IDisposable
{
    private readonly LogRecorder _log = new();
    private readonly EventLoop _loop;
    private readonly Socket _peer = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Socket _socket;

    public EventLoopTests()
    {
        _loop = new EventLoop(5, Poller.Create(), _log, EventLoop.DriveOnThread);
        EventLoop.DriveOnThread(_loop.Seats[0]);
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        _peer.Connect(listener.LocalEndPoint!);
        _socket = listener.Accept();
    }

    private int Descriptor => (int)_socket.Handle;

    public void Dispose()
    {
        _loop.Stop();
        Assert.True(_loop.WaitForEnd(Timeouts.Limit));
        _peer.Dispose();
        _socket.Dispose();
        _log.Dispose();
    }

    [Fact]
    public async Task Post_FromManyThreads_RunsOnTheLoopInEachOnesOrder()
    {
        const int Posters = 4;
        const int Each = 2_000;
        List<(int Poster, int Number)> ran = [];
        int elsewhere = 0;
        TaskCompletionSource all = new(TaskCreationOptions.RunContinuationsAsynchronously);

        await Task.WhenAll(Enumerable.Range(0, Posters).Select(poster => Task.Run(() =>
        {
            for (int i = 0; i < Each; i++)
            {
                int number = i;
                _loop.Post(new TestWork(() =>
                {
                    Interlocked.Add(ref elsewhere, _loop.IsDriver ? 0 : 1);
                    ran.Add((poster, number));
                    if (ran.Count == Posters * Each)
                    {
                        all.SetResult();
                    }
                }));
            }
        }))).OrTimeout();
        await all.Task.OrTimeout();

        Assert.Equal(0, elsewhere);
        Assert.False(_loop.IsDriver);
        foreach (IGrouping<int, (int Poster, int Number)> poster in ran.GroupBy(item => item.Poster))
        {
            Assert.Equal(Enumerable.Range(0, Each), poster.Select(item => item.Number));
        }
    }

    [Fact]
    public async Task Post_WorkThatPostsItselfForEver_YieldsToEventsTimersAndOtherWork()
    {
        Flag stop = new();
        TaskCompletionSource floods = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource flooded = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestWork? flood = null;
        flood = new TestWork(() =>
        {
            floods.TrySetResult();
            if (stop.Value)
            {
                flooded.SetResult();
                return;
            }

            _loop.Post(flood!);
        });
        TestHandler handler = new();
        Assert.False(_loop.Register(handler, Descriptor, Interest.Read).IsError);
        _loop.Post(flood);
        await floods.Task.OrTimeout();

        TaskCompletionSource timer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _peer.Send([1]);
        _loop.Post(new TestWork(() => _loop.Schedule(new TestWork(timer.SetResult), 10)));

        Assert.Equal(Readiness.Readable, await handler.Ready.Task.OrTimeout());
        await timer.Task.OrTimeout();
        Assert.False(flooded.Task.IsCompleted);
        stop.Value = true;
        await flooded.Task.OrTimeout();
        _loop.Deregister(handler, Descriptor);
    }

    [Fact]
    public async Task Schedule_SeveralTimers_RunOnTheLoopWhenDueAndInThatOrder()
    {
        int[] delays = [400, 0, 200];
        List<(int Delay, TimeSpan After, bool OnLoop)> ran = [];
        TaskCompletionSource all = new(TaskCreationOptions.RunContinuationsAsynchronously);

        _loop.Post(new TestWork(() =>
        {
            foreach (int delay in delays)
            {
                long start = Stopwatch.GetTimestamp();
                _loop.Schedule(
                    new TestWork(() =>
                    {
                        ran.Add((delay, Stopwatch.GetElapsedTime(start), _loop.IsDriver));
                        if (ran.Count == delays.Length)
                        {
                            all.SetResult();
                        }
                    }),
                    delay);
            }
        }));
        await all.Task.OrTimeout();

        Assert.Equal([0, 200, 400], ran.Select(item => item.Delay));
        Assert.All(ran, item => Assert.True(item.OnLoop));

        // The clock of the timers advances in steps of some milliseconds.
        Assert.All(ran, item => Assert.True(item.After.TotalMilliseconds > item.Delay - 20, $"{item.Delay} ran after {item.After}."));
    }

    [Fact]
    public async Task OnReady_ThatThrows_IsLoggedAndFaultsItsHandlerOnly()
    {
        InvalidOperationException thrown = new("on purpose");
        InvalidOperationException second = new("in OnFault");
        TestHandler handler = new(_ => throw thrown, _ => throw second);
        Assert.False(_loop.Register(handler, Descriptor, Interest.Read).IsError);

        _peer.Send([1]);

        Assert.Same(thrown, await handler.Faulted.Task.OrTimeout());
        LogEntry entry = await _log.WaitForAsync(e => e.Exception == thrown).OrTimeout();
        Assert.Equal(LogLevel.Critical, entry.Level);
        Assert.Equal(1, entry.Id);
        Assert.Contains("5", entry.Message, StringComparison.Ordinal);
        await _log.WaitForAsync(e => e.Exception == second && e.Level == LogLevel.Critical).OrTimeout();

        await RunAsync(() => 0).OrTimeout();
        Assert.Equal(handler.Faults.Count, _log.All().Count(e => e.Exception == thrown));
        _loop.Deregister(handler, Descriptor);
    }

    [Fact]
    public async Task Wait_ThatFails_EndsTheLoopAndTellsEachHandlerWhateverTheyThrow()
    {
        BrokenPoller poller = new(Poller.Create());
        EventLoop loop = new(6, poller, _log, EventLoop.DriveOnThread);
        EventLoop.DriveOnThread(loop.Seats[0]);
        InvalidOperationException second = new("in OnFault");
        TestHandler throws = new(onFault: _ => throw second);
        TestHandler other = new();
        Assert.False(loop.Register(throws, Descriptor, Interest.Read).IsError);
        Assert.False(loop.Register(other, (int)_peer.Handle, Interest.Read).IsError);
        InvalidOperationException failure = new("on purpose");

        poller.Break(failure);

        Assert.True(loop.WaitForEnd(Timeouts.Limit));
        Assert.Same(failure, await throws.Faulted.Task.OrTimeout());
        Assert.Same(failure, await other.Faulted.Task.OrTimeout());
        Assert.Equal(2, (await _log.WaitForAsync(e => e.Exception == failure).OrTimeout()).Id);
        await _log.WaitForAsync(e => e.Exception == second).OrTimeout();
    }

    [Fact]
    public async Task Post_WorkThatThrows_IsLoggedAndTheNextRuns()
    {
        InvalidOperationException thrown = new("on purpose");

        _loop.Post(new TestWork(() => throw thrown));
        _loop.Post(new TestWork(() => _loop.Schedule(new TestWork(() => throw thrown), 0)));

        await Timeouts.UntilAsync(() => _log.All().Count(e => e.Exception == thrown && e.Level == LogLevel.Critical) == 2);
        Assert.True(await RunAsync(() => _loop.IsDriver).OrTimeout());
    }

    [Fact]
    public async Task Work_ThatChangesItsThread_ShowsTheNextAFreshOne()
    {
        AsyncLocal<string> local = new();
        CultureInfo culture = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        void Change()
        {
            local.Value = "changed";
            CultureInfo.CurrentCulture = culture;
            SynchronizationContext.SetSynchronizationContext(new SynchronizationContext());
            Thread.CurrentThread.Name = "changed";
            Thread.CurrentThread.Priority = ThreadPriority.BelowNormal;
            Thread.CurrentThread.IsBackground = false;
        }

        async Task CheckAsync()
        {
            (string? Local, CultureInfo Culture, SynchronizationContext? Context, string? Name, ThreadPriority Priority) seen = await RunAsync(
                () => (local.Value, CultureInfo.CurrentCulture, SynchronizationContext.Current, Thread.CurrentThread.Name, Thread.CurrentThread.Priority)).OrTimeout();
            Assert.Null(seen.Local);
            Assert.NotSame(culture, seen.Culture);
            Assert.Null(seen.Context);
            Assert.Equal("epoll loop 5", seen.Name);
            Assert.Equal(ThreadPriority.Normal, seen.Priority);
            Assert.True(await RunAsync(() => Thread.CurrentThread.IsBackground).OrTimeout());
        }

        await RunAsync(() =>
        {
            Change();
            return local.Value;
        }).OrTimeout();
        await CheckAsync();

        TaskCompletionSource timer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(new TestWork(() => _loop.Schedule(
            new TestWork(() =>
            {
                Change();
                timer.SetResult();
            }),
            0)));
        await timer.Task.OrTimeout();
        await CheckAsync();

        TestHandler handler = new(_ => Change());
        Assert.False(_loop.Register(handler, Descriptor, Interest.Read).IsError);
        _peer.Send([1]);
        await handler.Ready.Task.OrTimeout();
        await CheckAsync();
        _loop.Deregister(handler, Descriptor);
    }

    [Fact]
    public async Task LoopThatSpins_StillRunsWhatIsPostedToldAndDueAndStops()
    {
        EventLoop loop = new(6, Poller.Create(), _log, EventLoop.DriveOnThread, new LoopSettings { Spin = TimeSpan.FromSeconds(1) });
        EventLoop.DriveOnThread(loop.Seats[0]);
        TestHandler handler = new();
        Assert.False(loop.Register(handler, Descriptor, Interest.Read).IsError);
        TaskCompletionSource<bool> timer = new(TaskCreationOptions.RunContinuationsAsynchronously);

        loop.Schedule(new TestWork(() => timer.SetResult(loop.IsDriver)), 20);
        for (int i = 0; i < 100; i++)
        {
            TaskCompletionSource posted = new(TaskCreationOptions.RunContinuationsAsynchronously);
            loop.Post(new TestWork(posted.SetResult));
            await posted.Task.OrTimeout();
        }

        _peer.Send([1]);
        Assert.Equal(Readiness.Readable, await handler.Ready.Task.OrTimeout());
        Assert.True(await timer.Task.OrTimeout());
        loop.Deregister(handler, Descriptor);
        loop.Stop();
        Assert.True(loop.WaitForEnd(Timeouts.Limit));
    }

    [Fact]
    public async Task Deregister_OfAHandler_EndsWhatItIsTold()
    {
        TestHandler handler = new();
        Assert.False(_loop.Register(handler, Descriptor, Interest.Read).IsError);
        Assert.Equal([handler], _loop.Handlers);

        _loop.Deregister(handler, Descriptor);
        TestHandler next = new();
        Assert.False(_loop.Register(next, Descriptor, Interest.Read).IsError);
        _peer.Send([1]);

        await next.Ready.Task.OrTimeout();
        Assert.False(handler.Ready.Task.IsCompleted);
        _loop.Deregister(next, Descriptor);
        Assert.Empty(_loop.Handlers);
    }

    [Fact]
    public void Register_ThatFails_LeavesNoHandlerBehind()
    {
        Assert.True(_loop.Register(new TestHandler(), -1, Interest.Read).IsError);
        Assert.True(_loop.RegisterShared(new TestHandler(), -1).IsError);

        Assert.Empty(_loop.Handlers);
    }

    [Fact]
    public async Task Stop_WithWorkAndTimersLeft_HandsThemToThePool()
    {
        using ManualResetEventSlim release = new();
        TaskCompletionSource busy = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource<bool> posted = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource<bool> timer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(new TestWork(() =>
        {
            _loop.Schedule(new TestWork(() => timer.SetResult(Thread.CurrentThread.IsThreadPoolThread)), int.MaxValue);
            busy.SetResult();
            release.Wait(Timeouts.Limit);
        }));
        await busy.Task.OrTimeout();

        _loop.Post(new TestWork(() => posted.SetResult(Thread.CurrentThread.IsThreadPoolThread)));
        _loop.Stop();
        release.Set();

        Assert.True(await posted.Task.OrTimeout(), "Ran on the loop.");
        Assert.True(await timer.Task.OrTimeout(), "Ran on the loop.");
        Assert.True(_loop.WaitForEnd(Timeouts.Limit));
    }

    [Fact]
    public async Task Post_ToALoopThatEnded_RunsOnThePool()
    {
        _loop.Stop();
        Assert.True(_loop.WaitForEnd(Timeouts.Limit));

        Assert.True(await RunAsync(() => Thread.CurrentThread.IsThreadPoolThread).OrTimeout());
        Assert.True(_loop.Register(new TestHandler(), Descriptor, Interest.Read).IsError);
        Assert.Empty(_loop.Handlers);
    }

    [Fact]
    public void Post_AtEachMomentOfFallingAsleep_IsRun()
    {
        const int Rounds = 20_000;
        EventLoop loop = new(6, Poller.Create(), _log, EventLoop.DriveOnThread, new LoopSettings { Spin = TimeSpan.Zero });
        EventLoop.DriveOnThread(loop.Seats[0]);
        int ran = 0;
        TestWork work = new(() => Interlocked.Increment(ref ran));
        long began = Stopwatch.GetTimestamp();
        for (int round = 1; round <= Rounds; round++)
        {
            // The loop has just run the one before, and nothing else is there.
            loop.Post(work);
            SpinWait spin = default;
            while (Volatile.Read(ref ran) < round)
            {
                spin.SpinOnce(sleep1Threshold: -1);
                Assert.True(Stopwatch.GetElapsedTime(began) < Timeouts.Limit * 2, $"Round {round} of {Rounds} was not run.");
            }

            Thread.SpinWait(round % 64);
        }

        loop.Stop();
        Assert.True(loop.WaitForEnd(Timeouts.Limit));
    }

    [Fact]
    public async Task Post_AgainstALoopThatEnds_IsAlwaysRunOnce()
    {
        for (int round = 0; round < 50; round++)
        {
            EventLoop loop = new(round, Poller.Create(), _log, EventLoop.DriveOnThread);
            EventLoop.DriveOnThread(loop.Seats[0]);
            int[] runs = new int[200];
            using CountdownEvent left = new(runs.Length);
            using Barrier together = new(2);
            Task poster = Task.Run(() =>
            {
                together.SignalAndWait(Timeouts.Limit);
                for (int i = 0; i < runs.Length; i++)
                {
                    int index = i;
                    loop.Post(new TestWork(() =>
                    {
                        Interlocked.Increment(ref runs[index]);
                        left.Signal();
                    }));
                }
            });
            together.SignalAndWait(Timeouts.Limit);
            loop.Stop();

            await poster.OrTimeout();
            Assert.True(left.Wait(Timeouts.Limit), $"{left.CurrentCount} never ran.");
            Assert.True(loop.WaitForEnd(Timeouts.Limit));
            Assert.All(runs, count => Assert.Equal(1, count));
        }
    }

    private Task<T> RunAsync<T>(Func<T> function)
    {
        TaskCompletionSource<T> result = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(new TestWork(() => result.SetResult(function())));
        return result.Task;
    }

    private sealed class Flag
    {
        private volatile bool _value;

        public bool Value
        {
            get => _value;
            set => _value = value;
        }
    }

    [Fact]
    public async Task Schedule_OfTimersThatSetOthersAtOnce_LetsTheLoopGoOn()
    {
        bool done = false;
        TestWork? again = null;
        again = new TestWork(() =>
        {
            if (!Volatile.Read(ref done))
            {
                _loop.Schedule(again!, 0);
            }
        });
        _loop.Schedule(again, 0);

        Assert.True(await RunAsync(() => _loop.IsDriver).OrTimeout());

        Volatile.Write(ref done, true);
    }

    [Fact]
    public async Task Register_WithAPollerThatThrows_FailsAndKeepsNoHandler()
    {
        InvalidOperationException thrown = new("on purpose");
        EventLoop loop = new(7, new ThrowingPoller(Poller.Create(), () => throw thrown), _log, EventLoop.DriveOnThread);
        EventLoop.DriveOnThread(loop.Seats[0]);

        Assert.True(loop.Register(new TestHandler(), Descriptor, Interest.Read).IsError);

        Assert.Empty(loop.Handlers);
        await _log.WaitForAsync(e => e.Exception == thrown).OrTimeout();
        loop.Stop();
        Assert.True(loop.WaitForEnd(Timeouts.Limit));
    }

    [Fact]
    public async Task Dispatch_AfterOneWhoseInterruptMetALock_IsNotInterrupted()
    {
        Lock contended = new();
        using ManualResetEventSlim held = new();
        TaskCompletionSource<Thread> waits = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task holder = Task.Factory.StartNew(
            () =>
            {
                using (contended.Hold())
                {
                    held.Set();
                    Thread loop = waits.Task.GetAwaiter().GetResult();
                    Assert.True(SpinWait.SpinUntil(() => (loop.ThreadState & System.Threading.ThreadState.WaitSleepJoin) != 0, Timeouts.Limit));
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        Assert.True(held.Wait(Timeouts.Limit));

        _loop.Post(new TestWork(() =>
        {
            Thread.CurrentThread.Interrupt();
            waits.SetResult(Thread.CurrentThread);
            contended.Hold().Dispose();
        }));

        Assert.True(await RunAsync(() =>
        {
            Thread.Sleep(1);
            return true;
        }).OrTimeout());
        await holder.OrTimeout();
        Assert.Empty(_log.All());
    }
}
