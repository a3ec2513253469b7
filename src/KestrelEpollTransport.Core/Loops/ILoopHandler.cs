using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Loops;

/// <summary>
/// The owner of one registration in a loop. Its methods run on threads that drive the loop, and two of them may call at the same moment: of
/// two passes, or while one is losing its seat.
/// </summary>
internal interface ILoopHandler : IDispatched
{
    /// <summary>The registration, set by the table before anyone can look it up.</summary>
    Token Token { get; set; }

    /// <summary>
    /// Something may be ready. Another thread may end the registration at the same moment, so one call may
    /// come after that.
    /// </summary>
    void OnReady(Readiness readiness);

    /// <summary>
    /// <see cref="OnReady"/> threw, which is a broken invariant and has been logged: close what this belongs to.
    /// </summary>
    void OnFault(Exception exception);

    /// <summary>The transport is disposed: end what this belongs to. From the disposing thread.</summary>
    void Abandon();
}
