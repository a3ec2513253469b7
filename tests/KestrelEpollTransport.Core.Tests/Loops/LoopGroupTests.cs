using System.Net.Sockets;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Polling;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Tests.Loops;

[Collection(RunsAlone.Name)]
public sealed class LoopGroupTests : IDisposable
{
    private static readonly AsyncLocal<string?> s_local = new();

    private readonly LogRecorder _logs = new();

    public void Dispose() => _logs.Dispose();

    [Fact]
    public async Task Post_FromManyThreads_RunsEverythingOnTheLoopInEachPostersOrder()
    {
        using LoopGroup group = new(1, _logs);
        EventLoop loop = group.Loops[0];
        List<(int Poster, int Number, string? Thread)> ran = [];
        const int Posters = 4, Each = 5000;
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);

        await Task.WhenAll(Enumerable.Range(0, Posters).Select(poster => Task.Run(() =>
        {
            for (int i = 0; i < Each; i++)
            {
                int number = i;
                loop.Post(new Work(() =>
                {
                    ran.Add((poster, number, Thread.CurrentThread.Name));
                    if (ran.Count == Posters * Each)
                    {
                        done.SetResult();
                    }
                }));
            }
        }))).OrTimeout();
        await done.Task.OrTimeout();

        Assert.All(ran, entry => Assert.Equal("epoll loop 0", entry.Thread));
        foreach (IGrouping<int, (int Poster, int Number, string? Thread)> poster in ran.GroupBy(entry => entry.Poster))
        {
            Assert.Equal(Enumerable.Range(0, Each), poster.Select(entry => entry.Number));
        }
    }

    [Fact]
    public async Task Post_WorkThatPostsItself_LeavesTurnsToEvents()
    {
        using LoopGroup group = new(1, _logs);
        EventLoop loop = group.Loops[0];
        bool stop = false;
        Work? flood = null;
        flood = new Work(() =>
        {
            if (!Volatile.Read(ref stop))
            {
                loop.Post(flood!);
            }
        });
        loop.Post(flood);
        (Socket ours, Socket peer) = CreatePair();
        using (ours)
        using (peer)
        {
            Handler handler = new();
            Assert.False(loop.Register(handler, (int)ours.Handle, Interest.Read).IsError);
            peer.Send([1]);

            await handler.Ready.Task.OrTimeout();

            loop.Deregister(handler, (int)ours.Handle);
        }

        Volatile.Write(ref stop, true);
    }

    [Fact]
    public async Task Schedule_Timers_RunInTheOrderOfTheirTime()
    {
        using LoopGroup group = new(1, _logs);
        EventLoop loop = group.Loops[0];
        List<int> ran = [];
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);

        loop.Post(new Work(() =>
        {
            loop.OnSchedule(new Work(() => { ran.Add(60); done.SetResult(); }), 60);
            loop.OnSchedule(new Work(() => ran.Add(1)), 1);
            loop.OnSchedule(new Work(() => ran.Add(30)), 30);
        }));
        await done.Task.OrTimeout();

        Assert.Equal([1, 30, 60], ran);
    }

    [Fact]
    public async Task OnReady_HandlerThrows_IsLoggedAndFaultedAndTheLoopGoesOn()
    {
        using LoopGroup group = new(1, _logs);
        EventLoop loop = group.Loops[0];
        (Socket ours, Socket peer) = CreatePair();
        using (ours)
        using (peer)
        {
            Handler handler = new() { Throws = true };
            Assert.False(loop.Register(handler, (int)ours.Handle, Interest.Write).IsError);

            await handler.Faulted.Task.OrTimeout();

            loop.Deregister(handler, (int)ours.Handle);
        }

        LogEntry entry = await _logs.WaitForAsync(entry => entry.Level == LogLevel.Critical).OrTimeout();
        Assert.IsType<InvalidTimeZoneException>(entry.Exception);
        TaskCompletionSource later = new(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(new Work(later.SetResult));
        await later.Task.OrTimeout();
    }

    [Fact]
    public async Task Run_WorkThatChangesItsThread_NextWorkSeesNothingOfIt()
    {
        using LoopGroup group = new(1, _logs);
        EventLoop loop = group.Loops[0];
        TaskCompletionSource<string> seen = new(TaskCreationOptions.RunContinuationsAsynchronously);

        loop.Post(new Work(() =>
        {
            s_local.Value = "changed";
            SynchronizationContext.SetSynchronizationContext(new SynchronizationContext());
            Thread.CurrentThread.Name = "changed";
            Thread.CurrentThread.Priority = ThreadPriority.BelowNormal;
            System.Globalization.CultureInfo.CurrentCulture = new System.Globalization.CultureInfo("de-DE");
        }));
        loop.Post(new Work(() => seen.SetResult(
            $"{s_local.Value ?? "none"} {SynchronizationContext.Current?.ToString() ?? "none"} {Thread.CurrentThread.Name} {Thread.CurrentThread.Priority} "
            + System.Globalization.CultureInfo.CurrentCulture.Name)));

        Assert.Equal("none none epoll loop 0 Normal ", await seen.Task.OrTimeout());
    }

    [Fact]
    public async Task Dispose_EndsTheThreadsAndAbandonsHandlersAndRunsLateWorkElsewhere()
    {
        LoopGroup group = new(3, _logs);
        EventLoop loop = group.Loops[1];
        (Socket ours, Socket peer) = CreatePair();
        using Socket first = ours, second = peer;
        Handler handler = new();
        Assert.False(loop.Register(handler, (int)ours.Handle, Interest.Read).IsError);
        Assert.Equal(3, CountLoopThreads());

        group.Dispose();

        Assert.True(handler.Abandoned.Task.IsCompleted);
        Assert.Equal(0, CountLoopThreads());
        Assert.Throws<ObjectDisposedException>(() => group.Next());
        Assert.True(loop.Register(new Handler(), (int)ours.Handle, Interest.Read).IsError);
        TaskCompletionSource<bool> late = new(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(new Work(() => late.SetResult(Thread.CurrentThread.IsThreadPoolThread)));
        Assert.True(await late.Task.OrTimeout());
    }

    [Fact]
    public void Balance_OneLoopIsWokenForEverything_OthersGetTheirShare()
    {
        using LoopGroup group = new(4, _logs);
        EventLoop always = group.Loops[2];
        for (int i = 0; i < 400; i++)
        {
            group.Balance(always).AddLoad(1);
        }

        foreach (EventLoop loop in group.Loops)
        {
            Assert.InRange(loop.Load, 70, 135);
        }
    }

    private static int CountLoopThreads() =>
        Directory.GetDirectories("/proc/self/task").Count(task => ReadName(task).StartsWith("epoll loop", StringComparison.Ordinal));

    // A thread may end between the listing and the look.
    private static string ReadName(string task)
    {
        try
        {
            return File.ReadAllText(Path.Combine(task, "comm"));
        }
        catch (IOException)
        {
            return string.Empty;
        }
    }

    private static (Socket Ours, Socket Peer) CreatePair()
    {
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));
        listener.Listen();
        Socket peer = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        peer.Connect(listener.LocalEndPoint!);
        return (listener.Accept(), peer);
    }

    private sealed class Work(Action action) : IThreadPoolWorkItem
    {
        public void Execute() => action();
    }

    private sealed class Handler : ILoopHandler
    {
        public bool Throws { get; init; }

        public TaskCompletionSource Ready { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Faulted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Abandoned { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Token Token { get; set; }

        public void OnReady(Readiness readiness)
        {
            Ready.TrySetResult();
            if (Throws)
            {
                throw new InvalidTimeZoneException("on purpose");
            }
        }

        public void OnFault(Exception exception) => Faulted.TrySetResult();

        public void Abandon() => Abandoned.TrySetResult();
    }
}
