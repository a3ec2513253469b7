using System.Collections.Concurrent;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests.Loops;

/// <summary>A handler that does what the test says, and remembers what it was told.</summary>
internal sealed class TestHandler(Action<Readiness>? onReady = null, Action<Exception>? onFault = null) : ILoopHandler
{
    public Token Token { get; set; }

    public ConcurrentQueue<Exception> Faults { get; } = new();

    public TaskCompletionSource<Readiness> Ready { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public TaskCompletionSource<Exception> Faulted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public TaskCompletionSource Abandoned { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public void OnReady(Readiness readiness)
    {
        Ready.TrySetResult(readiness);
        onReady?.Invoke(readiness);
    }

    public void OnFault(Exception exception)
    {
        Faults.Enqueue(exception);
        Faulted.TrySetResult(exception);
        onFault?.Invoke(exception);
    }

    public void Abandon() => Abandoned.TrySetResult();
}

internal sealed class TestWork(Action action) : ILoopWork
{
    public void Execute() => action();
}
