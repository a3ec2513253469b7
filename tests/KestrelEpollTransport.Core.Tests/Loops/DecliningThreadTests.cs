using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using KestrelEpollTransport.Tests.Scheduling;

namespace KestrelEpollTransport.Tests.Loops;

/// <summary>A thread that was called to share a pass, beside one that is held in a dispatch, on a machine that others want too. No watch looks.</summary>
public sealed class DecliningThreadTests : IDisposable
{
    private readonly LogRecorder _log = new();
    private readonly HeldWork _held = new();
    private readonly TaskCompletionSource _ran = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SetLoad _machine = new();
    private readonly EventLoop _loop;
    private Action<Seat> _drive = EventLoop.DriveOnThread;

    public DecliningThreadTests()
    {
        _loop = new EventLoop(0, Poller.Create(), _log, seat => _drive(seat), new LoopSettings { Drivers = 2, Machine = _machine });
        EventLoop.DriveOnThread(_loop.Seats[0]);
    }

    public void Dispose()
    {
        _held.Release();
        _loop.Stop();
        Assert.True(_loop.WaitForEnd(Timeouts.Limit));
        _machine.Dispose();
        _log.Dispose();
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task ThreadThatComes_OnACrowdedMachine_LeavesThePassToWhoIsHere(bool isCrowded)
    {
        _machine.Set(isCrowded);
        await HoldAsync();
        _loop.Post(new TestWork(_ran.SetResult));

        _loop.TryCall(isNeeded: false);

        if (isCrowded)
        {
            await Timeouts.UntilAsync(() => !_loop.Crew.IsCalled && _loop.Crew.Count == 1);
            Assert.False(_ran.Task.IsCompleted);
            _held.Release();
        }

        await _ran.Task.OrTimeout();
    }

    [Fact]
    public async Task ThreadThatIsNeeded_OnACrowdedMachine_Stays()
    {
        _machine.Set(isCrowded: true);
        await HoldAsync();
        _loop.Post(new TestWork(_ran.SetResult));

        _loop.TryCall();

        await _ran.Task.OrTimeout();
    }

    [Fact]
    public async Task ThreadThatIsNeededWhileItIsOnItsWay_OnACrowdedMachine_Stays()
    {
        _machine.Set(isCrowded: true);
        await HoldAsync();
        _loop.Post(new TestWork(_ran.SetResult));
        Seat? given = null;
        _drive = seat => given = seat;
        _loop.TryCall(isNeeded: false);

        _loop.TryCall();
        EventLoop.DriveOnThread(given!);

        await _ran.Task.OrTimeout();
    }

    /// <remarks>It was only called to share a pass, but it was not that one which is gone.</remarks>
    [Fact]
    public async Task ThreadThatTakesOverFromOneThatShared_OnACrowdedMachine_Stays()
    {
        HeldWork second = new();
        await HoldAsync();
        _loop.Post(new TestWork(second.Execute));
        _loop.TryCall(isNeeded: false);
        await second.Thread.OrTimeout();
        _loop.Post(new TestWork(_ran.SetResult));
        _machine.Set(isCrowded: true);

        Seat stuck = _loop.Seats[1];
        Assert.True(stuck.TryTake(stuck.CurrentDispatch, out _));
        EventLoop.DriveOnThread(stuck);

        await _ran.Task.OrTimeout();
        second.Release();
    }

    [Fact]
    public async Task ThreadThatHasPolled_OnAMachineThatIsCrowdedSince_ServesWhatItWasTold()
    {
        await HoldAsync();
        _loop.TryCall(isNeeded: false);
        await Timeouts.UntilAsync(() => _loop.Crew is { IsPolled: true, Count: 2 });
        _machine.Set(isCrowded: true);

        _loop.Post(new TestWork(_ran.SetResult));

        // Who is held may be so for long, and would find it only then.
        await _ran.Task.OrTimeout();
    }

    private async Task HoldAsync()
    {
        _loop.Post(new TestWork(_held.Execute));
        await _held.Thread.OrTimeout();
    }

    private sealed class SetLoad() : MachineLoad(file: null, processors: 1)
    {
        private volatile bool _isCrowded;

        public override bool IsCrowded => _isCrowded;

        public void Set(bool isCrowded) => _isCrowded = isCrowded;
    }
}
