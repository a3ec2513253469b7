using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>Every resume runs on the connection's loop: at once where that is allowed, else as posted work.</summary>
internal sealed class InlineScheduler : ConnectionScheduler
{
    public override void Resume(IResumable work, EventLoop loop) => loop.Post(work);

    public override void ResumeFromLoop(IResumable work, EventLoop loop) => work.Execute();
}
