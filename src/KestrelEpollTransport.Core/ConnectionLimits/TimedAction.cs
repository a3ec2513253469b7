namespace KestrelEpollTransport.ConnectionLimits;

/// <summary>What a look at a connection asks for.</summary>
internal enum TimedAction
{
    None,
    AskForAge,
    AskForIdle,
    Abort,
}
