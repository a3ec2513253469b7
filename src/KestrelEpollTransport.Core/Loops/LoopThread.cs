using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Loops;

/// <summary>Drives each loop on a thread of its own, from its start to its end.</summary>
internal static class LoopThread
{
    public static void Drive(Seat seat)
    {
        // Background: a process that forgets to dispose still ends. The default stack size: handlers run here
        // and may be as deep as on the thread pool.
        Thread thread = new(() => seat.Loop.OnDrive(seat, ThreadBaseline.Capture())) { IsBackground = true, Name = seat.Loop.Name };

        // Without AsyncLocals: a loop outlives the request that happened to start it.
        Uninterrupted.Start(thread);
    }
}
