using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Connections;

/// <content>How long its requests wait, and where.</content>
internal sealed partial class EpollConnection : IRequestQueue
{
    public TimeSpan Delay => Stopwatch.GetElapsedTime(0, _dispatch.Delay + ApplicationContext.WaitHere(_applicationContext));

    public int Queue => DispatchThread switch
    {
        TransportMetrics.Loop => IRequestQueue.FirstLoop + Loop.Index,
        TransportMetrics.ThreadPool => IRequestQueue.Pool,
        _ => IRequestQueue.FirstLane + (int)(_dispatch.Profile.Lane ?? WorkLane.Slow),
    };

    public long? Pass => Loop.IsDriver ? Loop.Pass : null;

    /// <summary>What kind of thread the calling one is, as it is counted.</summary>
    public string DispatchThread =>
        Loop.IsDriver ? TransportMetrics.Loop : Thread.CurrentThread.IsThreadPoolThread ? TransportMetrics.ThreadPool : TransportMetrics.Worker;

    public void OnRefused() => _dispatch.TeachNothing();
}
