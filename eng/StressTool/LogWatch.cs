using Microsoft.Extensions.Logging;

namespace StressTool;

/// <summary>
/// Takes every event of the transport, so that logging is exercised too. Nothing that a network can do is worth
/// more than Debug, so whatever is above it is a failure. Any thread may log.
/// </summary>
internal sealed class LogWatch(Figures figures) : ILoggerProvider
{
    public ILogger CreateLogger(string categoryName) =>
        new Logger(figures, categoryName.StartsWith("KestrelEpollTransport", StringComparison.Ordinal)
            || categoryName.StartsWith("Microsoft.AspNetCore.Server.Kestrel.Transport", StringComparison.Ordinal));

    public void Dispose()
    {
    }

    private sealed class Logger(Figures figures, bool isTransport) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => isTransport && logLevel >= LogLevel.Debug;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (!IsEnabled(logLevel))
            {
                return;
            }

            string message = formatter(state, exception);
            figures.Count($"log event {eventId.Id} {eventId.Name}");
            if (logLevel > LogLevel.Debug)
            {
                figures.Fail($"log {logLevel}: {message} {exception}");
            }
        }
    }
}
