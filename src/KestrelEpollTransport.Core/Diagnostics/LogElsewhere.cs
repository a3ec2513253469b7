namespace KestrelEpollTransport.Diagnostics;

/// <summary>Writes to the log on another thread: loggers may block, and who has something to tell may hold a lock.</summary>
internal sealed class LogElsewhere(Action write) : IThreadPoolWorkItem
{
    public void Execute() => write();
}
