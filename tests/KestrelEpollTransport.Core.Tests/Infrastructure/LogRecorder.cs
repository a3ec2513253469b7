using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Tests;

internal sealed record LogEntry(LogLevel Level, int Id, string Message, Exception? Exception);

/// <summary>Keeps every log line and lets a test wait for one. Any thread may call it.</summary>
internal sealed class LogRecorder : ILogger, ILoggerFactory
{
    private readonly Lock _lock = new();
    private readonly List<LogEntry> _entries = [];
    private readonly List<(Func<LogEntry, bool> Matches, TaskCompletionSource<LogEntry> Found)> _waiters = [];

    public IReadOnlyList<LogEntry> All()
    {
        lock (_lock)
        {
            return [.. _entries];
        }
    }

    public Task<LogEntry> WaitForAsync(Func<LogEntry, bool> matches)
    {
        lock (_lock)
        {
            if (_entries.Find(e => matches(e)) is { } present)
            {
                return Task.FromResult(present);
            }

            TaskCompletionSource<LogEntry> found = new(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Add((matches, found));
            return found.Task;
        }
    }

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public void Dispose()
    {
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        LogEntry entry = new(logLevel, eventId.Id, formatter(state, exception), exception);
        lock (_lock)
        {
            _entries.Add(entry);
            _waiters.RemoveAll(waiter => waiter.Matches(entry) && waiter.Found.TrySetResult(entry));
        }
    }
}
