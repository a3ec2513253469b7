using System.Net.Sockets;

namespace RestartTool;

/// <summary>What happened to all clients together. Thread-safe.</summary>
internal sealed class Figures
{
    private const int Shown = 10;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, int> _failures = [];
    private long _answered;
    private long _connections;
    private long _toRetry;
    private long _resets;
    private long _failed;
    private long _goingAway;

    public bool HasFailures => Interlocked.Read(ref _failed) + Interlocked.Read(ref _resets) > 0;

    public long Answered => Interlocked.Read(ref _answered);

    public long GoingAway => Interlocked.Read(ref _goingAway);

    public void NoteAnswer() => Interlocked.Increment(ref _answered);

    public void NoteConnection() => Interlocked.Increment(ref _connections);

    /// <summary>A request on a connection that had been used met its end, without a byte of an answer: a client may send it again, and browsers do.</summary>
    public void NoteToRetry() => Interlocked.Increment(ref _toRetry);

    /// <summary>A WebSocket was ended with 1001.</summary>
    public void NoteGoingAway() => Interlocked.Increment(ref _goingAway);

    /// <summary>Everything else that keeps a request, a connection or a WebSocket from what it should be.</summary>
    public void NoteFailure(string client, Exception exception)
    {
        SocketError? error = null;
        for (Exception? inner = exception; inner is not null; inner = inner.InnerException)
        {
            error ??= (inner as SocketException)?.SocketErrorCode;
        }

        Interlocked.Increment(ref error == SocketError.ConnectionReset ? ref _resets : ref _failed);
        string what = $"{client}: {error?.ToString() ?? exception.GetType().Name}: {exception.Message}";
        lock (_lock)
        {
            _failures[what] = _failures.GetValueOrDefault(what) + 1;
        }
    }

    public void Print(TextWriter output)
    {
        output.WriteLine($"requests answered     {_answered}");
        output.WriteLine($"connections made      {_connections}");
        output.WriteLine($"WebSockets, 1001      {_goingAway}");
        output.WriteLine($"to be retried         {_toRetry}");
        output.WriteLine($"resets                {_resets}");
        output.WriteLine($"failed                {_failed}");
        lock (_lock)
        {
            foreach ((string what, int times) in _failures.OrderByDescending(static one => one.Value).Take(Shown))
            {
                output.WriteLine($"  {times} x {what}");
            }
        }
    }
}
