using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Loops;

/// <summary>What the loops of a group have in common.</summary>
internal sealed record LoopSettings
{
    /// <summary>How many threads may share a pass that has fallen behind: the processors that a loop is worth.</summary>
    public int Drivers { get; init; } = 1;

    /// <summary>How long a pass takes before another thread is called, where processors are free.</summary>
    public TimeSpan CallAfter { get; init; }

    /// <summary>How long a loop polls before it sleeps; null: as long as it pays.</summary>
    public TimeSpan? Spin { get; init; }

    /// <summary>Called on a loop's threads, each pass or more often: it woke up, and told so with a full fence, or was awake all the time.</summary>
    public Action? OnAwake { get; init; }

    /// <summary>Tells whether a thread that was called found a processor; null: it is taken for granted.</summary>
    public MachineLoad? Machine { get; init; }

    /// <summary>Settable for tests that simulate them, as is <see cref="CreatePoller"/>.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    public Func<Poller> CreatePoller { get; init; } = Poller.Create;
}
