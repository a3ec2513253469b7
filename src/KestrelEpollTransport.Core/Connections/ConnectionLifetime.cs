using System.Runtime.ExceptionServices;
using KestrelEpollTransport.Diagnostics;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Connections;

/// <summary>What is known of a connection's end.</summary>
[Flags]
internal enum LifetimeState
{
    Open = 0,
    Fin = 1,             // The peer's FIN was received, and so everything before it.
    Failed = 2,          // The peer reset the connection, or the network gave it up. The kernel may still have what came before.
    ReadOut = 4,         // Nothing more can be received.
    InputCompleted = 8,  // The application reads no more.
    Ended = 16,          // Our own end: nothing more is sent.
    Reset = 32,          // Our own end is a reset.
    SendFailed = 64,     // Our own end is a send that failed.
    Told = 128,          // ConnectionClosed is cancelled.
    Closed = 256,        // The descriptor is closed as soon as no call is in flight. Until then an end of ours may linger.
    EndDone = 512,       // Our own end is done: both ends of the pipe know, and the peer was told.
    CallbacksRan = 1024, // Those of ConnectionClosed, or there are none.
}

/// <summary>What happens to a connection's lifetime.</summary>
internal enum LifetimeEvent
{
    EndReceived,     // A receive returned 0, after every send that may have taken the socket's error has noted it.
    ErrorTaken,      // The socket's error was taken: by the loop or by a send.
    ReceiveFailed,   // A receive failed.
    SendFailed,      // A send failed, after its error was noted if it says how the peer ended.
    EndedByFin,      // Abort(null), or all is sent and the writer is completed.
    EndedByReset,    // Abort(reason), or a fault.
    InputCompleted,  // The reader was completed.
    InputRefused,    // Something can be received that nobody will ever read.
    GivenUp,         // Our FIN is sent, and nothing could be lost; or lingering is over; or the transport is disposed.
}

/// <summary>
/// One word for the life of a connection: who ended it and how, what was received of the peer's end, who was told, and whether the
/// descriptor is still needed. Every end of a connection is a transition here, and what follows from it is decided by the two words before
/// and after. Thread-safe.
/// </summary>
/// <remarks>
/// <code>
/// event           in                             adds
/// EndReceived     not ReadOut                    ReadOut, Told; and Fin unless Failed
/// ErrorTaken      not Fin, Failed, Reset         Failed, Told
/// ReceiveFailed   not ReadOut, nor Reset alone   Failed, ReadOut, Told
/// SendFailed      not Ended                      Ended, SendFailed, Told
/// EndedByFin      not Ended                      Ended, Told
/// EndedByReset    not Ended                      Ended, Reset, Told
/// InputCompleted  any                            InputCompleted
/// InputRefused    any                            Told
/// GivenUp         any                            Closed
/// </code>
/// <para>The descriptor is needed until our own end, and after it as long as the kernel may have bytes that the application has not
/// read: <see cref="NeedsNoDescriptor"/> adds Closed as soon as it is not.</para>
/// <para>The rule that users see: what arrived before the peer's end is read before that end is, whatever the application does meanwhile.
/// Our own end fails the next read at once, unless the peer's was known before it.</para>
/// <para><b>A reset is never taken for a FIN.</b> The kernel gives a socket's error to one call only, and a receive then returns 0.
/// T1 (loop, or a send) takes the error and notes it here, both under the send lock.
/// T2 (reader) is returned 0, takes and leaves the send lock, and then notes the end.
/// So whoever took the error has noted it.</para>
/// </remarks>
internal struct ConnectionLifetime
{
    private const LifetimeState PeerEnded = LifetimeState.Fin | LifetimeState.Failed;

    private int _state;
    private int _logged;
    private Exception? _reason;
    private ExceptionDispatchInfo? _failure;

    /// <summary>Null; the source of the token; or <see cref="NobodyAsked"/>.</summary>
    private object? _source;
    private TaskCompletionSource? _over;

    public readonly LifetimeState State => (LifetimeState)Volatile.Read(in _state);

    /// <summary>What the reader throws when it has read out a connection that failed.</summary>
    public readonly ExceptionDispatchInfo? Failure => Volatile.Read(in _failure);

    /// <summary>Why it ended by us.</summary>
    public readonly Exception? Reason => Volatile.Read(in _reason);

    /// <summary>The token that says that the connection is over. Its source is made when somebody asks.</summary>
    public CancellationToken Token
    {
        get
        {
            object source = _source ?? Interlocked.CompareExchange(ref _source, new CancellationTokenSource(), null) ?? _source;
            return source is CancellationTokenSource made ? made.Token : new CancellationToken(canceled: true);
        }
    }

    /// <summary>It was told before anybody asked for the token.</summary>
    private static object NobodyAsked { get; } = new();

    /// <summary>The one who may end the connection, and say why.</summary>
    public bool TryTakeEnd(Exception reason) => Interlocked.CompareExchange(ref _reason, reason, null) is null;

    /// <summary>
    /// After an event that added Told. True: the caller has <see cref="RunCallbacks"/> called, where callbacks may block.
    /// </summary>
    public bool HasCallbacks()
    {
        // Both this and the token's getter exchange for null, so every source that was handed out is seen here.
        if (Interlocked.CompareExchange(ref _source, NobodyAsked, null) is not null)
        {
            return true;
        }

        Set(LifetimeState.CallbacksRan);
        return false;
    }

    /// <summary>Cancels the token.</summary>
    public void RunCallbacks(ILogger logger)
    {
        try
        {
            ((CancellationTokenSource)_source!).Cancel();
        }
#pragma warning disable CA1031 // A callback of the application threw: its error to know of, and not the end of the process.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            ConnectionLog.ClosedCallbackFailed(logger, exception);
        }

        Set(LifetimeState.CallbacksRan);
    }

    /// <summary>Sets EndDone or CallbacksRan, and then looks whether somebody waits for both; who waits publishes that, and then looks.</summary>
    public void Set(LifetimeState part)
    {
        if (IsOver((LifetimeState)Interlocked.Or(ref _state, (int)part) | part))
        {
            Volatile.Read(ref _over)?.TrySetResult();
        }
    }

    /// <summary>Waits for EndDone and CallbacksRan.</summary>
    public ValueTask WaitAsync()
    {
        if (IsOver(State))
        {
            return ValueTask.CompletedTask;
        }

        TaskCompletionSource made = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource over = Interlocked.CompareExchange(ref _over, made, null) ?? made;
        Set(LifetimeState.Open);
        return new ValueTask(over.Task);
    }

    /// <summary>Applies an event. Returns the state before it.</summary>
    public LifetimeState Apply(LifetimeEvent happened, out LifetimeState added)
    {
        LifetimeState before;
        LifetimeState next;
        do
        {
            before = State;
            next = Next(before, happened);
        }
        while (Interlocked.CompareExchange(ref _state, (int)next, (int)before) != (int)before);
        added = next & ~before;
        return before;
    }

    /// <summary>
    /// Notes how the peer or the network ended the connection, and then applies an event that says that it did. The first exception stays.
    /// </summary>
    public void NoteError(Exception exception, LifetimeEvent happened, out LifetimeState added)
    {
        Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(exception), null);
        Apply(happened, out added);
    }

    /// <summary>
    /// What has happened and was not logged; from now on it was. After our own end that is for who ended it: what comes later is no news. A
    /// send that failed is told by what made it fail, if that is known already.
    /// </summary>
    public LifetimeState TakeUnlogged(bool ends)
    {
        LifetimeState state = State;
        return !ends && Has(state, LifetimeState.Ended) ? LifetimeState.Open : state & ~(LifetimeState)Interlocked.Or(ref _logged, (int)state);
    }

    /// <summary>Whether our own end leaves to the application what is still to be read.</summary>
    public static bool KeepsInput(LifetimeState state) => Has(state, PeerEnded | LifetimeState.SendFailed);

    internal static LifetimeState Next(LifetimeState state, LifetimeEvent happened)
    {
        LifetimeState added = happened switch
        {
            LifetimeEvent.EndReceived when !Has(state, LifetimeState.ReadOut) =>
                LifetimeState.ReadOut | LifetimeState.Told | (Has(state, LifetimeState.Failed) ? 0 : LifetimeState.Fin),
            LifetimeEvent.ErrorTaken when !Has(state, PeerEnded | LifetimeState.Reset) => LifetimeState.Failed | LifetimeState.Told,
            LifetimeEvent.ReceiveFailed when !Has(state, LifetimeState.ReadOut) && (!Has(state, LifetimeState.Reset) || Has(state, LifetimeState.Failed)) =>
                LifetimeState.Failed | LifetimeState.ReadOut | LifetimeState.Told,
            LifetimeEvent.SendFailed when !Has(state, LifetimeState.Ended) => LifetimeState.Ended | LifetimeState.SendFailed | LifetimeState.Told,
            LifetimeEvent.EndedByFin when !Has(state, LifetimeState.Ended) => LifetimeState.Ended | LifetimeState.Told,
            LifetimeEvent.EndedByReset when !Has(state, LifetimeState.Ended) => LifetimeState.Ended | LifetimeState.Reset | LifetimeState.Told,
            LifetimeEvent.InputCompleted => LifetimeState.InputCompleted,
            LifetimeEvent.InputRefused => LifetimeState.Told,
            LifetimeEvent.GivenUp => LifetimeState.Closed,
            _ => 0,
        };
        LifetimeState next = state | added;
        return NeedsNoDescriptor(next) ? next | LifetimeState.Closed : next;
    }

    // A reset of ours takes what the kernel has with it, unless the peer's was there first.
    private static bool NeedsNoDescriptor(LifetimeState state) =>
        Has(state, LifetimeState.Ended)
        && (Has(state, LifetimeState.ReadOut)
            || (Has(state, LifetimeState.Reset) && !Has(state, LifetimeState.Failed))
            || (Has(state, LifetimeState.InputCompleted) && KeepsInput(state)));

    private static bool IsOver(LifetimeState state) => Has(state, LifetimeState.EndDone) && Has(state, LifetimeState.CallbacksRan);

    private static bool Has(LifetimeState state, LifetimeState any) => (state & any) != 0;
}
