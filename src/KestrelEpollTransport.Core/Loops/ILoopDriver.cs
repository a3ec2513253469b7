namespace KestrelEpollTransport.Loops;

/// <summary>Finds threads for loops.</summary>
internal interface ILoopDriver
{
    /// <summary>Has a thread call <see cref="EventLoop.OnDrive"/> from a seat, which was taken for it.</summary>
    /// <exception cref="OutOfMemoryException">No thread could be started.</exception>
    void Drive(Seat seat);
}
