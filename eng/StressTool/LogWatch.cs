using Microsoft.Extensions.Logging;

namespace StressTool;

/// <summary>
/// Takes every event of the transport, and of Kestrel, so that logging is exercised too. Nothing that a network can do is worth
/// more than Debug, so whatever is above it is a failure. Any thread may log.
/// </summary>
internal sealed class LogWatch(Figures figures) : ILoggerProvider
{
    /// <summary>The one warning that is meant to come: with few workers, they run out.</summary>
    private const int WorkersRanOut = 31;

    /// <summary>The line that always comes.</summary>
    private const int Serving = 27;

    /// <summary>Kestrel's, where the machine has something else to do.</summary>
    private const string HeartbeatSlow = "HeartbeatSlow";

    private static int s_lines;

    public ILogger CreateLogger(string categoryName) =>
        new Logger(figures, categoryName.StartsWith("KestrelEpollTransport", StringComparison.Ordinal)
            || categoryName.StartsWith("Microsoft.AspNetCore.Server.Kestrel", StringComparison.Ordinal));

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
            Blocking.EveryNth(ref s_lines, 5_003, figures, "blocked in the logger");
            if (logLevel > LogLevel.Debug && eventId.Id is not (WorkersRanOut or Serving) && eventId.Name != HeartbeatSlow)
            {
                figures.Fail($"log {logLevel}: {message} {exception}");
            }
        }
    }
}
