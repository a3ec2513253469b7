using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// The seam where a resumed connection is given to a thread. What is resumed is a work item of the connection
/// (its reader: receive and complete the read; its writer: complete the flush) and runs application code.
/// </summary>
internal abstract class ConnectionScheduler
{
    /// <summary>
    /// Has <paramref name="work"/> run soon, behind what waits already, and never inside this call. Any thread.
    /// </summary>
    public abstract void Resume(IResumable work, EventLoop loop);

    /// <summary>
    /// As <see cref="Resume"/>, from the top frame of a dispatch of <paramref name="loop"/> on its own thread: may run it
    /// at once. The caller touches nothing afterwards that application code may have ended.
    /// </summary>
    public abstract void ResumeFromLoop(IResumable work, EventLoop loop);
}

/// <summary>
/// A part of a connection that waits and is resumed: <see cref="IThreadPoolWorkItem.Execute"/> runs it here and now; posted
/// to its loop, it asks the scheduler again.
/// </summary>
internal interface IResumable : ILoopWork
{
    /// <summary>What is known of its connection's dispatches.</summary>
    ref DispatchProfile Profile { get; }

    /// <summary>How it is to run off the loop; null: it is to run there.</summary>
    WorkLane? Lane => Profile.Lane;
}
