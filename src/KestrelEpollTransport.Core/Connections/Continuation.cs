namespace KestrelEpollTransport.Connections;

/// <summary>What runs when an operation is completed; none if nobody awaits it yet.</summary>
internal readonly struct Continuation(Action<object?>? action, object? state, ExecutionContext? context)
{
    public bool IsNone => action is null;

    /// <summary>Runs it, in the execution context of who attached it if that was asked for.</summary>
    public void Run()
    {
        if (context is null)
        {
            action!(state);
        }
        else
        {
            ExecutionContext.Run(context, static boxed => ((Continuation)boxed!).RunHere(), this);
        }
    }

    private void RunHere() => action!(state);
}

/// <summary>A continuation that was attached after the completion, on its way to where scheduling wants it.</summary>
internal sealed class LateContinuation(EpollConnection connection, Continuation continuation, bool isRead) : IConnectionEnd
{
    public EpollConnection Connection => connection;

    public bool BeginsDispatch => isRead;

    public void Resume(long began)
    {
        if (isRead)
        {
            connection.Dispatch.Run(connection, continuation, began);
        }
        else
        {
            // Beside the reader's dispatch, perhaps.
            connection.Writer.BeginTurn();
            continuation.Run();
            connection.Dispatch.Profile.End(began, 1, isPart: true);
        }
    }
}
