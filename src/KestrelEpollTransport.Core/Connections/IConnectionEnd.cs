using KestrelEpollTransport.Scheduling;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Connections;

/// <summary>The reader or the writer of a connection, which scheduling resumes.</summary>
internal interface IConnectionEnd : IResumable
{
    EpollConnection Connection { get; }

    /// <summary>Whether it begins a dispatch of its connection. False: it goes on beside one, which may block until it has.</summary>
    bool BeginsDispatch { get; }

    ref DispatchProfile IResumable.Profile => ref Connection.Dispatch.Profile;

    WorkLane? IResumable.Lane => BeginsDispatch ? Connection.Dispatch.Profile.Lane : Connection.Dispatch.Profile.PartLane;

    /// <summary>Completes what waits, and so runs the application.</summary>
    /// <param name="began">When the dispatch began, of <see cref="DispatchProfile.Begin"/>.</param>
    void Resume(long began);

    void Loops.ILoopWork.OnLoop() => Connection.ResumeFromLoop(this);

    void Loops.IDispatched.OnHandedOff(bool isBlocked) => Connection.OnHandedOff(isBlocked);

    void Loops.IDispatched.LogHandOff(ILogger logger, int loop, TimeSpan blocked) => Connection.LogHandOff(logger, loop, blocked);

    bool Loops.IDispatched.TryFailOwnWait() => Connection.TryFailOwnWait();

    void IThreadPoolWorkItem.Execute()
    {
        try
        {
            Resume(Connection.Dispatch.Profile.Begin());
        }
#pragma warning disable CA1031 // Ours or a continuation's: it ends this connection, not the thread and its other connections.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Connection.OnFault(exception);
        }
    }
}
