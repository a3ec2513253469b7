using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>Work that keeps its thread, blocked or computing, until it is released.</summary>
internal sealed class HeldWork(bool spins = false) : IThreadPoolWorkItem
{
    private readonly TaskCompletionSource _release = new();
    private readonly TaskCompletionSource<Thread> _thread = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private KernelThread? _kernelThread;

    /// <summary>The thread that runs it, once one does.</summary>
    public Task<Thread> Thread => _thread.Task;

    /// <summary>Waits until its thread does nothing any more.</summary>
    public async Task IsBlockedAsync()
    {
        await Thread.OrTimeout();
        await Timeouts.UntilAsync(() => _kernelThread!.IsRunnable() != true);
    }

    public void Release() => _release.TrySetResult();

    public void Execute()
    {
        _kernelThread = KernelThread.Current;
        _thread.SetResult(System.Threading.Thread.CurrentThread);
        if (!spins)
        {
            _release.Task.Wait(Timeouts.Limit + Timeouts.Limit);
        }

        while (!_release.Task.IsCompleted)
        {
        }
    }
}
