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
                Continuation continuation = holder.Operation.Complete(i, error: null);
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
                    bool late = holder.Operation.OnCompleted(state => ran += (int)state!, 1, token, NoFlags);
                    Assert.True(barrier.SignalAndWait(Timeouts.Limit));
                    Continuation continuation = holder.Operation.TakeLate();
                    Assert.Equal(late, !continuation.IsNone);
                    if (late)
                    {
                        continuation.Run();
                    }

                    Assert.Equal(i + 1, ran);
                    Assert.Equal(i, holder.Operation.GetResult(token));
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
    [InlineData("cancellation", ValueTaskSourceStatus.Canceled)]
    public void GetStatus_AskedFirst_IsPendingAndThenTheTruth(string result, ValueTaskSourceStatus status)
    {
        Exception? error = result switch
        {
            "failure" => new IOException(),
            "cancellation" => new OperationCanceledException(),
            _ => null,
        };
        PendingOperation<int> operation = default;
        operation.Begin();
        short token = operation.Version;
        Assert.True(operation.Complete(7, error is null ? null : ExceptionDispatchInfo.Capture(error)).IsNone);

        Assert.Equal(ValueTaskSourceStatus.Pending, operation.GetStatus(token));
        Assert.Equal(status, operation.GetStatus(token));
        Assert.True(operation.IsOpen);
        int? got = null;
        Exception? thrown = Record.Exception(() => got = operation.GetResult(token));
        Assert.Same(error, thrown);
        Assert.Equal(error is null ? 7 : null, got);
    }

    [Fact]
    public void GetStatus_OfAPendingOperation_StaysPending()
    {
        PendingOperation<int> operation = default;
        operation.Begin();

        Assert.Equal(ValueTaskSourceStatus.Pending, operation.GetStatus(operation.Version));
        Assert.Equal(ValueTaskSourceStatus.Pending, operation.GetStatus(operation.Version));
        operation.Complete(1, error: null);
        Assert.Equal(ValueTaskSourceStatus.Succeeded, operation.GetStatus(operation.Version));
    }

    [Fact]
    public void GetResult_OfAPendingOperation_ThrowsAndLeavesItOpen()
    {
        PendingOperation<int> operation = default;
        operation.Begin();

        Assert.Throws<InvalidOperationException>(() => operation.GetResult(operation.Version));
        Assert.True(operation.IsOpen);
        operation.Complete(3, error: null);
        Assert.Equal(3, operation.GetResult(operation.Version));
        Assert.False(operation.IsOpen);
        Assert.Equal(3, operation.GetResult(operation.Version));
    }

    [Fact]
    public void Begin_WhileNobodyHasTakenTheResult_IsTheSameOperation()
    {
        PendingOperation<int> operation = default;
        operation.Begin();
        short token = operation.Version;
        operation.Complete(1, error: null);

        operation.Begin();

        Assert.Equal(token, operation.Version);
        Assert.Throws<InvalidOperationException>(() => operation.GetResult(token));
        operation.Complete(2, error: null);
        Assert.Equal(2, operation.GetResult(token));
    }

    [Fact]
    public void Begin_AfterTheResultIsTaken_RefusesTheOldToken()
    {
        PendingOperation<int> operation = default;
        operation.Begin();
        short old = operation.Version;
        operation.Complete(1, error: null);
        operation.GetResult(old);

        operation.Begin();
        operation.Complete(2, error: null);

        Assert.NotEqual(old, operation.Version);
        Assert.Throws<InvalidOperationException>(() => operation.GetStatus(old));
        Assert.Throws<InvalidOperationException>(() => operation.GetResult(old));
        Assert.Throws<InvalidOperationException>(() => operation.OnCompleted(static _ => { }, null, old, NoFlags));
        Assert.Equal(2, operation.GetResult(operation.Version));
    }

    [Fact]
    public void OnCompleted_OfASecondAwaiter_IsRefusedAndTheFirstRuns()
    {
        int ran = 0;
        PendingOperation<int> operation = default;
        operation.Begin();
        short token = operation.Version;
        Assert.False(operation.OnCompleted(_ => ran++, null, token, NoFlags));

        Assert.Throws<InvalidOperationException>(() => operation.OnCompleted(static _ => { }, null, token, NoFlags));

        operation.Complete(1, error: null).Run();
        Assert.Equal(1, ran);
        Assert.True(operation.TakeLate().IsNone);
    }

    [Fact]
    public void OnCompleted_OfASecondLateAwaiter_IsRefusedAndTheFirstRuns()
    {
        int ran = 0;
        PendingOperation<int> operation = default;
        operation.Begin();
        short token = operation.Version;
        Assert.True(operation.Complete(1, error: null).IsNone);
        Assert.True(operation.OnCompleted(_ => ran++, null, token, NoFlags));

        Assert.Throws<InvalidOperationException>(() => operation.OnCompleted(static _ => { }, null, token, NoFlags));

        Assert.Equal(0, ran);
        operation.TakeLate().Run();
        Assert.Equal(1, ran);
        Assert.True(operation.TakeLate().IsNone, "It would run twice.");
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
            operation.Complete(1, error: null);
        }

        local.Value = "awaiter";
        operation.OnCompleted(
            boxed => (seen, got) = (local.Value, boxed),
            state,
            operation.Version,
            flows ? ValueTaskSourceOnCompletedFlags.FlowExecutionContext : NoFlags);
        local.Value = "completer";

        (comesLate ? operation.TakeLate() : operation.Complete(1, error: null)).Run();

        Assert.Equal(flows ? "awaiter" : "completer", seen);
        Assert.Same(state, got);
        Assert.Equal("completer", local.Value);
    }

    private sealed class Holder
    {
        public PendingOperation<int> Operation;
    }

    private sealed class Model
    {
        private PendingOperation<int> _operation;
        private short _token;
        private int _owed;
        private int _ran;
        private bool _attaching;

        public bool CameLate { get; private set; }

        public static Model Begin()
        {
            Model model = new();
            model._operation.Begin();
            model._token = model._operation.Version;
            return model;
        }

        public IEnumerable<Step> Complete()
        {
            yield return "Complete";
            Continuation continuation = _operation.Complete(7, error: null);
            if (!continuation.IsNone)
            {
                yield return "run it";
                continuation.Run();
            }
        }

        // As the compiler's await does it.
        public IEnumerable<Step> Await()
        {
            yield return "GetStatus";
            Assert.Equal(ValueTaskSourceStatus.Pending, _operation.GetStatus(_token));
            yield return "OnCompleted";
            _attaching = true;
            CameLate = _operation.OnCompleted(_ => Run(), null, _token, NoFlags);
            _attaching = false;
            _owed += CameLate ? 1 : 0;
        }

        public IEnumerable<Step> RunLate()
        {
            yield return new Step("TakeLate", () => _owed > 0, MayStay: true);
            _owed--;
            _operation.TakeLate().Run();
        }

        public void Check()
        {
            Assert.Equal(1, _ran);
            Assert.Equal(0, _owed);
            Assert.False(_operation.IsOpen);
            Assert.True(_operation.TakeLate().IsNone, "It would run twice.");
        }

        private void Run()
        {
            Assert.False(_attaching, "Ran on the thread that attached it.");
            Assert.Equal(7, _operation.GetResult(_token));
            _ran++;
        }
    }
}
