using System.Diagnostics;
using System.Runtime.ExceptionServices;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Scheduling;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// Brings the application's code of one connection back to the transport's threads after each await. What is posted is a dispatch of its own,
/// beside the reader's and each other: scheduling runs it on the loop, or off the loop where such code is known to block. Thread-safe.
/// </summary>
/// <remarks>
/// Not single-threaded, unlike the contexts of user interfaces: code that blocks until another piece has run does not keep that from running.
/// Code that awaited a task goes on at once, without a post, where the current context is the very object that it began under; so a piece runs
/// under this object and no copy. It outlives its connection: what was begun in a request may be at work for as long as the process.
/// </remarks>
internal sealed class ApplicationContext : SynchronizationContext
{
    [ThreadStatic]
    private static ApplicationContext? s_running;

    [ThreadStatic]
    private static int s_piece;

    [ThreadStatic]
    private static long s_waited;

    [ThreadStatic]
    private static int s_queue;

    [ThreadStatic]
    private static bool s_teachesNothing;

    private readonly EventLoop _loop;
    private readonly ConnectionScheduler _scheduler;
    private readonly ThreadCounts _counts;
    private readonly ContinuationProfiles _profiles;

    // Null when it has ended.
    private volatile EpollConnection? _connection;

    public ApplicationContext(EpollConnection connection, ContinuationHistories histories)
    {
        _connection = connection;
        _loop = connection.Loop;
        _scheduler = connection.Shared.Scheduler;
        _counts = histories.Starts.Counters.Continuations;
        _profiles = new ContinuationProfiles(histories);
    }

    /// <summary>Whether the calling thread runs what was resumed, or posted, for this connection: whatever context is the current one.</summary>
    public bool IsRunningHere => s_running == this || _connection is { Dispatch.IsMine: true };

    /// <summary>Which piece of a context the calling thread runs, by a number that the next one on this thread does not have; 0: none.</summary>
    public static int PieceHere => s_running is null ? 0 : s_piece;

    /// <summary>
    /// How long the piece that the calling thread runs for <paramref name="context"/> had to wait to begin, if a request begins with it; 0: none
    /// does. In the ticks of <see cref="Stopwatch"/>.
    /// </summary>
    public static long WaitHere(ApplicationContext? context) => context is not null && s_running == context ? s_waited : 0;

    /// <summary>In which queue it had to, of <see cref="IRequestQueue"/>.</summary>
    public static int QueueHere => s_queue;

    /// <summary>As <see cref="OwnDispatch.TeachNothing"/>, of the piece that the calling thread runs for <paramref name="context"/>, if it runs one.</summary>
    public static void TeachNothingHere(ApplicationContext? context) => s_teachesNothing |= context is not null && s_running == context;

    /// <summary>Runs <paramref name="code"/>, with which a request begins, as if it was posted.</summary>
    public void Start(Action code) => Resume(_profiles.Starts, static code => ((Action)code!)(), code, flow: null, Stopwatch.GetTimestamp());

    /// <summary>
    /// Runs <paramref name="d"/> soon, and never inside this call, in the execution context of the caller; also when the connection, or the
    /// transport, has ended.
    /// </summary>
    public override void Post(SendOrPostCallback d, object? state) => Resume(_profiles.Of(d, state), d, state, ExecutionContext.Capture());

    /// <summary>Runs <paramref name="d"/> here and now, under the context that the caller has: what it ends is posted, and does not run here too.</summary>
    public override void Send(SendOrPostCallback d, object? state) => d(state);

    /// <summary>This: a copy would not be the same object.</summary>
    public override SynchronizationContext CreateCopy() => this;

    /// <summary>The connection is not kept by what outlives it.</summary>
    public void OnConnectionEnded() => _connection = null;

    private void Resume(ContinuationProfile profile, SendOrPostCallback callback, object? state, ExecutionContext? flow, long started = 0) =>
        _scheduler.Resume(new Piece(this, profile, callback, state, flow, started), _loop);

    private void Count()
    {
        if (_loop.IsDriver)
        {
            _counts.RanOnLoop(_loop.Index);
        }
        else
        {
            _counts.RanOffLoop(onWorker: !Thread.CurrentThread.IsThreadPoolThread);
        }
    }

    /// <summary>What was posted; when, if a request begins with it.</summary>
    private sealed class Piece(
        ApplicationContext context, ContinuationProfile profile, SendOrPostCallback callback, object? state, ExecutionContext? flow, long started) : IResumable
    {
        public ref DispatchProfile Profile => ref profile.Dispatches;

        public void OnLoop() => context._scheduler.ResumeFromLoop(this, context._loop);

        public void Execute()
        {
            context.Count();
            long began = Profile.Begin();
            s_running = context;
            s_piece++;
            s_teachesNothing = false;
            s_waited = 0;
            if (started != 0)
            {
                s_waited = began - started;
                s_queue = IRequestQueue.Here(context._loop, Profile);
            }

            try
            {
                if (flow is null)
                {
                    RunHere();
                }
                else
                {
                    ExecutionContext.Run(flow, static piece => ((Piece)piece!).RunHere(), this);
                }
            }
#pragma warning disable CA1031 // It is thrown again.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                // Of async void code: the end of the process, as without a context. By the pool: here it would be a fault of the loop.
                Uninterrupted.QueueToPool(new Rethrow(ExceptionDispatchInfo.Capture(exception)));
            }
            finally
            {
                s_running = null;
            }

            if (!s_teachesNothing)
            {
                Profile.End(began, 1);
            }
        }

        public void OnHandedOff(bool isBlocked) => Profile.HandedOff(isBlocked);

        public void LogHandOff(ILogger logger, int loop, TimeSpan blocked)
        {
            EpollConnection? connection = context._connection;
            SchedulingLog.HandedOff(connection?.Shared.Logger ?? logger, loop, blocked, connection);
        }

        private void RunHere()
        {
            SynchronizationContext? before = Current;
            SetSynchronizationContext(context);
            try
            {
                callback(state);
            }
            finally
            {
                SetSynchronizationContext(before);
            }
        }
    }

    private sealed class Rethrow(ExceptionDispatchInfo exception) : IThreadPoolWorkItem
    {
        public void Execute() => exception.Throw();
    }
}
