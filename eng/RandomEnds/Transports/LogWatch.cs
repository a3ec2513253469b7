using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace RandomEnds.Transports;

/// <summary>
/// Takes every event of a transport, so that logging runs too, and keeps what no client and no application can be
/// the cause of: whatever is above Debug. Any thread may log.
/// </summary>
internal sealed class LogWatch : ILoggerFactory, ILogger
{
    /// <summary>The one warning that is meant to come: many cases at a time need many workers.</summary>
    private const int WorkersRanOut = 31;

    /// <summary>The line that always comes.</summary>
    private const int Serving = 27;

    /// <summary>Every so many lines one takes a millisecond: what is logged before others are told, they are told late.</summary>
    private const int SlowLine = 16;

    private int _lines;

    public ConcurrentQueue<string> AboveDebug { get; } = new();

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public void Dispose()
    {
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Debug;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        string message = formatter(state, exception);
        if (Interlocked.Increment(ref _lines) % SlowLine == 0)
        {
            Thread.Sleep(1);
        }

        if (logLevel > LogLevel.Debug && eventId.Id is not (WorkersRanOut or Serving))
        {
            AboveDebug.Enqueue($"{logLevel} {eventId.Id}: {message} {exception}");
        }
    }
}
