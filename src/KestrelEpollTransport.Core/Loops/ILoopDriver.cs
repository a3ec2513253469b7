namespace KestrelEpollTransport.Loops;

/// <summary>Finds threads for loops.</summary>
internal interface ILoopDriver
{
    /// <summary>Has a thread call <see cref="EventLoop.OnDrive"/> from a seat, which was taken for it.</summary>
    /// <exception cref="OutOfMemoryException">No thread could be started.</exception>
    void Drive(Seat seat);
}

/// <summary>Told by loops when they have something to do.</summary>
internal interface ILoopObserver
{
    /// <summary>
    /// A loop woke up, and told so with a full fence; or it was awake all the time. On the loop's thread, once a pass.
    /// </summary>
    void OnLoopAwake();
}
