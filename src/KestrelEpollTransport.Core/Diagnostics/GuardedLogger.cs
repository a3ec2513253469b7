using KestrelEpollTransport.Locking;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>
/// A logger that never throws. Providers are the application's, and the host's logger passes on what they throw: in the
/// middle of a close, or on a loop, that would leave a connection half closed for ever.
/// </summary>
internal sealed class GuardedLogger(ILogger inner) : ILogger
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => inner.BeginScope(state);

    public bool IsEnabled(LogLevel logLevel)
    {
        try
        {
            return inner.IsEnabled(logLevel);
        }
#pragma warning disable CA1031 // There is nobody to tell: the logger is what failed.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Uninterrupted.RaiseAgain(exception is ThreadInterruptedException);
            return false;
        }
    }

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        try
        {
            inner.Log(logLevel, eventId, state, exception, formatter);
        }
#pragma warning disable CA1031 // As above.
        catch (Exception thrown)
#pragma warning restore CA1031
        {
            Uninterrupted.RaiseAgain(thrown is ThreadInterruptedException);
        }
    }
}
