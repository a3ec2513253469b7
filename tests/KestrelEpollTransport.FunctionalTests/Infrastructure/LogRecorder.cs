using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests;

internal sealed record LogEntry(string Category, LogLevel Level, int Id, string Message, Exception? Exception);

/// <summary>Keeps every log line, of every category and level, and lets a test wait for one. Any thread may call it.</summary>
internal sealed class LogRecorder : ILoggerFactory, ILoggerProvider
{
    private const int LoopHandedOff = 30;
    private const int Serving = 27;
    private const int ResolvedOptions = 28;

    private readonly Lock _lock = new();
    private readonly List<LogEntry> _entries = [];
    private readonly List<(Func<LogEntry, bool> Matches, TaskCompletionSource<LogEntry> Found)> _waiters = [];

    /// <summary>Runs on the logging thread before a line is kept: a logger that is slow, for example.</summary>
    public Action<LogEntry>? OnEntry { get; set; }

    public ILogger CreateLogger(string categoryName) => new Logger(this, categoryName);

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public void Dispose()
    {
    }

    public IReadOnlyList<LogEntry> All()
    {
        lock (_lock)
        {
            return [.. _entries];
        }
    }

    /// <summary>What the transport itself said, but for what it always says when it begins to serve.</summary>
    public IReadOnlyList<LogEntry> Of(TransportKind kind) =>
        [.. All().Where(e => e.Category == kind.LogCategory() && e.Id is not (Serving or ResolvedOptions))];

    /// <summary>What happened to connections. Not that a loop was handed off, which where processors are busy may come at any time.</summary>
    public int[] Ids(TransportKind kind) => [.. Of(kind).Select(e => e.Id).Where(static id => id != LoopHandedOff)];

    public Task<LogEntry> WaitForAsync(TransportKind kind, int id) =>
        WaitForAsync(e => e.Category == kind.LogCategory() && e.Id == id).OrTimeout($"log event {id} of {kind.LogCategory()}");

    public Task<LogEntry> WaitForAsync(Func<LogEntry, bool> matches)
    {
        lock (_lock)
        {
            if (_entries.Find(e => matches(e)) is { } present)
            {
                return Task.FromResult(present);
            }

            var found = new TaskCompletionSource<LogEntry>(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Add((matches, found));
            return found.Task;
        }
    }

    private void Add(LogEntry entry)
    {
        OnEntry?.Invoke(entry);
        lock (_lock)
        {
            _entries.Add(entry);
            _waiters.RemoveAll(waiter => waiter.Matches(entry) && waiter.Found.TrySetResult(entry));
        }
    }

    private sealed class Logger(LogRecorder recorder, string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            recorder.Add(new LogEntry(category, logLevel, eventId.Id, formatter(state, exception), exception));
    }
}
