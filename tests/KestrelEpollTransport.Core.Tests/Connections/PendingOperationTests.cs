using System.Runtime.ExceptionServices;
using System.Threading.Tasks.Sources;
using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>An operation that waits, against who completes it and who awaits it.</summary>
public class PendingOperationTests
{
    private const ValueTaskSourceOnCompletedFlags NoFlags = ValueTaskSourceOnCompletedFlags.None;

    [Fact]
    public void Complete_AgainstAnAwait_RunsTheContinuationOnce()
    {
        int late = 0;
        int schedules = Interleavings.Explore(
            Model.Begin,
            model =>
            {
                model.Check();
                late += model.CameLate ? 1 : 0;
            },
            new Actor<Model>("completer", model => model.Complete()),
            new Actor<Model>("awaiter", model => model.Await()),
            new Actor<Model>("scheduling", model => model.RunLate()));

        Assert.Equal(3, schedules);
        Assert.InRange(late, 1, schedules - 1);
    }

    [Fact]
    public void Complete_OfOneThatIsTold_AgainstAnAwait_GivesTheResultOnce()
    {
        int late = 0;
        int told = 0;
        int schedules = Interleavings.Explore(
            Model.Begin,
            model =>
            {
                model.Check();
                late += model.CameLate ? 1 : 0;
                told += model.WasTold ? 1 : 0;
            },
            new Actor<Model>("canceller", model => model.CompleteAndTell()),
            new Actor<Model>("awaiter", model => model.Await()),
            new Actor<Model>("scheduling", model => model.RunLate()));

        Assert.InRange(schedules, 3, 10);
        Assert.InRange(late, 1, schedules - 2);
        Assert.InRange(told, 1, schedules - 2);
    }

    [Fact]
    public void Complete_WhenTheLateOneIsForgotten_IsFoundOut()
    {
        // Wrong on purpose: nobody schedules what came late.
        InterleavingException found = Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            Model.Begin,
            model => model.Check(),
            new Actor<Model>("completer", model => model.Complete()),
            new Actor<Model>("awaiter", model => model.Await())));

        Assert.Contains("OnCompleted", found.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Complete_OnAnotherThreadThanTheAwait_RunsTheContinuationOnce()
    {
        const int Rounds = 2_000;
        Holder holder = new();
        int ran = 0;
        using Barrier barrier = new(2);
        void Complete()
        {
            for (int i = 0; i < Rounds; i++)
            {
                Assert.True(barrier.SignalAndWait(Timeouts.Limit));
                Continuation continuation = holder.Operation.Complete(i, error: null, isTold: false);
                if (!continuation.IsNone)
                {
                    continuation.Run();
                }

                Assert.True(barrier.SignalAndWait(Timeouts.Limit));
            }
        }

        Task completer = Task.Factory.StartNew(
            Complete, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await Task.Factory.StartNew(
            () =>
            {
                for (int i = 0; i < Rounds; i++)
                {
                    holder.Operation.Begin();
                    short token = holder.Operation.Version;
                    Assert.True(barrier.SignalAndWait(Timeouts.Limit));
                    Continuation late = holder.Operation.OnCompleted(state => ran += (int)state!, 1, token, NoFlags);
                    Assert.True(barrier.SignalAndWait(Timeouts.Limit));
                    if (!late.IsNone)
                    {
                        late.Run();
                    }

                    Assert.Equal(i + 1, ran);
                    Assert.Equal(i, holder.Operation.TakeResult(token));
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default).OrTimeout();
        await completer.OrTimeout();
    }

    [Theory]
    [InlineData("value", ValueTaskSourceStatus.Succeeded)]
    [InlineData("failure", ValueTaskSourceStatus.Faulted)]
    [InlineData("cancellation without a token", ValueTaskSourceStatus.Faulted)]
    [InlineData("cancellation with a token that is not cancelled", ValueTaskSourceStatus.Faulted)]
    [InlineData("cancellation", ValueTaskSourceStatus.Canceled)]
    public void GetStatus_AskedFirst_IsPendingAndThenTheTruth(string result, ValueTaskSourceStatus status)
    {
        Exception? error = CreateError(result);
        PendingOperation<int> operation = default;
        operation.Begin();
        short token = operation.Version;
        Assert.True(operation.Complete(7, Capture(error), isTold: false).IsNone);

        Assert.Equal(ValueTaskSourceStatus.Pending, operation.GetStatus(token));
        Assert.Equal(status, operation.GetStatus(token));
        AssertGives(ref operation, token, error);
    }

    [Theory]
    [InlineData("value", ValueTaskSourceStatus.Succeeded)]
    [InlineData("failure", ValueTaskSourceStatus.Faulted)]
    [InlineData("cancellation", ValueTaskSourceStatus.Canceled)]
    public void GetStatus_AskedFirstOfOneThatIsTold_IsTheTruth(string result, ValueTaskSourceStatus status)
    {
        Exception? error = CreateError(result);
        PendingOperation<int> operation = default;
        operation.Begin();
        short token = operation.Version;
        Assert.True(operation.Complete(7, Capture(error), isTold: true).IsNone);

        Assert.Equal(status, operation.GetStatus(token));
        AssertGives(ref operation, token, error);

        operation.Begin();
        operation.Complete(8, error: null, isTold: false);
        Assert.Equal(ValueTaskSourceStatus.Pending, operation.GetStatus(operation.Version));
    }

    [Fact]
    public void IsPendingAndIsAwaited_ThroughALife_AreWhatWasDone()
    {
        PendingOperation<int> operation = default;
        AssertIs(operation, isOpen: false, isPending: false, isAwaited: false);
        operation.Begin();
        AssertIs(operation, isOpen: true, isPending: true, isAwaited: false);
        Assert.True(operation.OnCompleted(static _ => { }, null, operation.Version, NoFlags).IsNone);
        AssertIs(operation, isOpen: true, isPending: true, isAwaited: true);
        Assert.False(operation.Complete(1, error: null, isTold: false).IsNone);
        AssertIs(operation, isOpen: true, isPending: false, isAwaited: false);
        operation.TakeResult(operation.Version);
        AssertIs(operation, isOpen: false, isPending: false, isAwaited: false);
    }

    [Fact]
    public void GetStatus_OfAPendingOperation_StaysPending()
    {
        PendingOperation<int> operation = default;
        operation.Begin();

        Assert.Equal(ValueTaskSourceStatus.Pending, operation.GetStatus(operation.Version));
        Assert.Equal(ValueTaskSourceStatus.Pending, operation.GetStatus(operation.Version));
        operation.Complete(1, error: null, isTold: false);
        Assert.Equal(ValueTaskSourceStatus.Succeeded, operation.GetStatus(operation.Version));
    }

    [Fact]
    public void TakeResult_OfAPendingOperation_ThrowsAndLeavesItOpen()
    {
        PendingOperation<int> operation = default;
        operation.Begin();

        Assert.Throws<InvalidOperationException>(() => operation.TakeResult(operation.Version));
        Assert.True(operation.IsOpen);
        operation.Complete(3, error: null, isTold: false);
        Assert.Equal(3, operation.TakeResult(operation.Version));
        Assert.False(operation.IsOpen);
    }

    [Theory]
    [InlineData("value")]
    [InlineData("failure")]
    public void TakeResult_ASecondTime_IsRefused(string result)
    {
        Exception? error = CreateError(result);
        PendingOperation<int> operation = default;
        operation.Begin();
        operation.Complete(7, Capture(error), isTold: false);
        short token = operation.Version;
        AssertGives(ref operation, token, error);

        Assert.Throws<InvalidOperationException>(() => operation.TakeResult(token));
    }

    [Fact]
    public void Begin_WhileNobodyHasTakenTheResult_IsAnotherOperation()
    {
        PendingOperation<int> operation = default;
        operation.Begin();
        short old = operation.Version;
        operation.Complete(1, error: null, isTold: true);

        operation.Begin();

        Assert.NotEqual(old, operation.Version);
        Assert.True(operation.IsOpen);
        Assert.Throws<InvalidOperationException>(() => operation.TakeResult(old));
        Assert.Equal(ValueTaskSourceStatus.Pending, operation.GetStatus(operation.Version));
        operation.Complete(2, error: null, isTold: false);
        Assert.Equal(2, operation.TakeResult(operation.Version));
    }

    [Fact]
    public void Begin_AfterTheResultIsTaken_RefusesTheOldToken()
    {
        PendingOperation<int> operation = default;
        operation.Begin();
        short old = operation.Version;
        operation.Complete(1, error: null, isTold: false);
        operation.TakeResult(old);

        operation.Begin();
        operation.Complete(2, error: null, isTold: false);

        Assert.NotEqual(old, operation.Version);
        Assert.Throws<InvalidOperationException>(() => operation.GetStatus(old));
        Assert.Throws<InvalidOperationException>(() => operation.TakeResult(old));
        Assert.Throws<InvalidOperationException>(() => operation.OnCompleted(static _ => { }, null, old, NoFlags));
        Assert.Equal(2, operation.TakeResult(operation.Version));
    }

    [Fact]
    public void OnCompleted_OfASecondAwaiter_IsRefusedAndTheFirstRuns()
    {
        int ran = 0;
        PendingOperation<int> operation = default;
        operation.Begin();
        short token = operation.Version;
        Assert.True(operation.OnCompleted(_ => ran++, null, token, NoFlags).IsNone);

        Assert.Throws<InvalidOperationException>(() => operation.OnCompleted(static _ => { }, null, token, NoFlags));

        operation.Complete(1, error: null, isTold: false).Run();
        Assert.Equal(1, ran);
    }

    [Fact]
    public void OnCompleted_OfASecondLateAwaiter_RunsAndFindsTheResultTaken()
    {
        List<string> ran = [];
        PendingOperation<int> operation = default;
        operation.Begin();
        short token = operation.Version;
        Assert.True(operation.Complete(1, error: null, isTold: false).IsNone);

        Continuation first = operation.OnCompleted(_ => ran.Add("first"), null, token, NoFlags);
        Continuation second = operation.OnCompleted(_ => ran.Add("second"), null, token, NoFlags);

        Assert.Empty(ran);
        first.Run();
        Assert.Equal(1, operation.TakeResult(token));
        second.Run();
        Assert.Throws<InvalidOperationException>(() => operation.TakeResult(token));
        Assert.Equal(["first", "second"], ran);
    }

    [Fact]
    public void OnCompleted_OfALateAwaiterOfTheOperationBefore_LeavesThePresentOneAlone()
    {
        int ran = 0;
        PendingOperation<int> operation = default;
        operation.Begin();
        short old = operation.Version;
        operation.Complete(1, error: null, isTold: false);
        Continuation late = operation.OnCompleted(_ => ran++, null, old, NoFlags);
        operation.TakeResult(old);

        operation.Begin();
        Assert.False(operation.IsAwaited);
        late.Run();

        Assert.Equal(1, ran);
        Assert.True(operation.Complete(2, error: null, isTold: false).IsNone, "It would run twice.");
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void Continuation_RunElsewhere_HasTheContextOfTheAwaitIfThatWasAskedFor(bool flows, bool comesLate)
    {
        AsyncLocal<string> local = new();
        string? seen = null;
        object? got = null;
        object state = new();
        PendingOperation<int> operation = default;
        operation.Begin();
        if (comesLate)
        {
            operation.Complete(1, error: null, isTold: false);
        }

        local.Value = "awaiter";
        Continuation late = operation.OnCompleted(
            boxed => (seen, got) = (local.Value, boxed),
            state,
            operation.Version,
            flows ? ValueTaskSourceOnCompletedFlags.FlowExecutionContext : NoFlags);
        local.Value = "completer";

        Assert.Equal(comesLate, !late.IsNone);
        (comesLate ? late : operation.Complete(1, error: null, isTold: false)).Run();

        Assert.Equal(flows ? "awaiter" : "completer", seen);
        Assert.Same(state, got);
        Assert.Equal("completer", local.Value);
    }

    private static Exception? CreateError(string result) => result switch
    {
        "failure" => new IOException(),
        "cancellation without a token" => new OperationCanceledException(),
        "cancellation with a token that is not cancelled" => new OperationCanceledException(CancellationToken.None),
        "cancellation" => new OperationCanceledException(new CancellationToken(canceled: true)),
        _ => null,
    };

    private static ExceptionDispatchInfo? Capture(Exception? error) => error is null ? null : ExceptionDispatchInfo.Capture(error);

    private static void AssertGives(ref PendingOperation<int> operation, short token, Exception? error)
    {
        Assert.True(operation.IsOpen);
        int? got = null;
        Exception? thrown = null;
        try
        {
            got = operation.TakeResult(token);
        }
        catch (Exception exception) when (exception == error)
        {
            thrown = exception;
        }

        Assert.Same(error, thrown);
        Assert.Equal(error is null ? 7 : null, got);
        Assert.False(operation.IsOpen);
    }

    // A copy is asked twice: the first answer may be that it is pending.
    private static bool IsCompleted(PendingOperation<int> operation)
    {
        _ = operation.GetStatus(operation.Version);
        return operation.GetStatus(operation.Version) != ValueTaskSourceStatus.Pending;
    }

    private static void AssertIs(in PendingOperation<int> operation, bool isOpen, bool isPending, bool isAwaited) =>
        Assert.Equal((isOpen, isPending, isAwaited), (operation.IsOpen, operation.IsOpen && !IsCompleted(operation), operation.IsAwaited));

    private sealed class Holder
    {
        public PendingOperation<int> Operation;
    }

    private sealed class Model
    {
        private PendingOperation<int> _operation;
        private short _token;
        private Continuation _late;
        private bool _isTold;
        private int _owed;
        private int _ran;
        private bool _attaching;

        public bool CameLate { get; private set; }

        /// <summary>The await went on by itself, without a continuation.</summary>
        public bool WasTold { get; private set; }

        public static Model Begin()
        {
            Model model = new();
            model._operation.Begin();
            model._token = model._operation.Version;
            return model;
        }

        public IEnumerable<Step> Complete() => Complete(isTold: false);

        public IEnumerable<Step> CompleteAndTell() => Complete(isTold: true);

        // As the compiler's await does it.
        public IEnumerable<Step> Await()
        {
            yield return "GetStatus";
            bool isTold = _isTold;
            ValueTaskSourceStatus status = _operation.GetStatus(_token);
            Assert.Equal(isTold ? ValueTaskSourceStatus.Succeeded : ValueTaskSourceStatus.Pending, status);
            if (isTold)
            {
                WasTold = true;
                Run();
                yield break;
            }

            yield return "OnCompleted";
            _attaching = true;
            Continuation late = _operation.OnCompleted(_ => Run(), null, _token, NoFlags);
            _attaching = false;
            CameLate = !late.IsNone;
            _late = CameLate ? late : _late;
            _owed += CameLate ? 1 : 0;
        }

        public IEnumerable<Step> RunLate()
        {
            yield return new Step("the late one runs", () => _owed > 0, MayStay: true);
            _owed--;
            _late.Run();
        }

        public void Check()
        {
            Assert.Equal(1, _ran);
            Assert.Equal(0, _owed);
            Assert.False(_operation.IsOpen);
            Assert.False(_operation.IsAwaited, "It would run twice.");
        }

        private IEnumerable<Step> Complete(bool isTold)
        {
            yield return "Complete";
            _isTold = isTold;
            Continuation continuation = _operation.Complete(7, error: null, isTold);
            if (!continuation.IsNone)
            {
                yield return "run it";
                continuation.Run();
            }
        }

        private void Run()
        {
            Assert.False(_attaching, "Ran on the thread that attached it.");
            Assert.Equal(7, _operation.TakeResult(_token));
            _ran++;
        }
    }
}
