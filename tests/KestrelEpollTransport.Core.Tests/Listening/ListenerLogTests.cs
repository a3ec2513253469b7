using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Listening;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Tests.Listening;

public class ListenerLogTests
{
    private const int ListenerUnusable = 22;

    [Theory]
    [InlineData(1)]
    [InlineData(17)]
    public void FailuresOf_OneOrMore_AreCountedInWordsThatFitBoth(long failures)
    {
        LogRecorder log = new();

        AcceptLog.OutOfResources(log, new IPEndPoint(IPAddress.Loopback, 80), "no more", failures);
        AcceptLog.Failed(log, new IPEndPoint(IPAddress.Loopback, 80), "no more", failures);

        Assert.All(log.All(), entry => Assert.Contains($"failures since the last report: {failures})", entry.Message, StringComparison.Ordinal));
        Assert.Equal(2, log.All().Count);
    }

    [Theory]
    [InlineData(TransportMode.Adaptive)]
    [InlineData(TransportMode.ThreadPool)]
    [InlineData(TransportMode.UnsafeInline)]
    public async Task Accept_OfASocketThatBecameUnusable_ThrowsBeforeThatIsLogged(TransportMode mode)
    {
        using ManualResetEventSlim release = new();
        using BlockingLoggers logs = new(release);
        Socket? socket = null;
        EpollTransportOptions options = new()
        {
            LoopCount = 1,
            Scheduling = mode.Scheduling(),
            CreateBoundListenSocket = endPoint => socket = EpollTransportOptions.CreateDefaultBoundListenSocket(endPoint),
        };
        using TransportEngine engine = new(options, logs);
        EpollListener listener = EpollListener.Bind(engine, new IPEndPoint(IPAddress.Loopback, 0));
        Task<ConnectionContext?> accept = listener.AcceptAsync().AsTask();
        try
        {
            // accept(2) says EINVAL of a socket that does not listen any more.
            socket!.Shutdown(SocketShutdown.Both);

            await logs.Blocked.Task.OrTimeout();
            await Assert.ThrowsAsync<SocketException>(() => accept.OrTimeout());
        }
        finally
        {
            release.Set();
        }

        await listener.UnbindAsync().OrTimeout();
    }

    private sealed class BlockingLoggers(ManualResetEventSlim release) : ILoggerFactory, ILogger
    {
        public TaskCompletionSource Blocked { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (eventId.Id == ListenerUnusable)
            {
                Blocked.TrySetResult();
                release.Wait(Timeouts.Limit * 2);
            }
        }

        public void Dispose()
        {
        }
    }
}
