namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>Work that keeps its thread until it is released.</summary>
internal sealed class HeldWork : IThreadPoolWorkItem
{
    private readonly TaskCompletionSource _release = new();
    private readonly TaskCompletionSource<Thread> _thread = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The thread that runs it, once one does.</summary>
    public Task<Thread> Thread => _thread.Task;

    public void Release() => _release.TrySetResult();

    public void Execute()
    {
        _thread.SetResult(System.Threading.Thread.CurrentThread);
        _release.Task.Wait(Timeouts.Limit + Timeouts.Limit);
    }
}
