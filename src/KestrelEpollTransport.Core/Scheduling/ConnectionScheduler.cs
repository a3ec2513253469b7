using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// The seam where a resumed connection is given to a thread. What is resumed is a work item of the connection
/// (its reader: receive and complete the read; its writer: complete the flush) and runs application code.
/// </summary>
internal abstract class ConnectionScheduler
{
    public static ConnectionScheduler Create(ApplicationScheduling scheduling, int loopCount) => scheduling switch
    {
        ApplicationScheduling.UnsafeInline => new InlineScheduler(),
        _ => new ThreadPoolScheduler(loopCount),
    };

    /// <summary>
    /// Has <paramref name="work"/> run soon, behind what waits already, and never inside this call. Any thread.
    /// </summary>
    public abstract void Resume(IThreadPoolWorkItem work, EventLoop loop);

    /// <summary>
    /// As <see cref="Resume"/>, from the top frame of a dispatch of <paramref name="loop"/> on its own thread: may run it
    /// at once. The caller touches nothing afterwards that application code may have ended.
    /// </summary>
    public abstract void ResumeFromLoop(IThreadPoolWorkItem work, EventLoop loop);
}
