using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>
/// The application's logger, which may throw (a provider that is disposed or out of disk): a line is lost then, and
/// nothing else. The transport logs where an exception would cost more: amid the end of a connection, in a loop, on the watch,
/// between the accept of a client and its start. Thread-safe, as loggers are.
/// </summary>
internal sealed class GuardedLogger(ILogger logger) : ILogger
{
#pragma warning disable CA1031 // All of them: there is nowhere to report what the reporting itself throws.
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => logger.BeginScope(state);

    public bool IsEnabled(LogLevel logLevel)
    {
        try
        {
            return logger.IsEnabled(logLevel);
        }
        catch (Exception)
        {
            return false;
        }
    }

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        try
        {
            logger.Log(logLevel, eventId, state, exception, formatter);
        }
        catch (Exception)
        {
            // The line is lost.
        }
    }
#pragma warning restore CA1031
}
