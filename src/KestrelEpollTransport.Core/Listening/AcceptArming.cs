using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Listening;

/// <summary>Why a listener does not accept at the moment.</summary>
[Flags]
internal enum AcceptPause
{
    None = 0,
    QueueFull = 1,
    BackOff = 2,

    /// <summary>For good.</summary>
    Unbound = 4,
}

/// <summary>
/// Whether a listening descriptor is registered: it is while there is no reason to pause, in every loop that can, or in the first
/// one where loops don't share listeners. Thread-safe.
/// </summary>
internal sealed class AcceptArming(AcceptHandler[] handlers, int descriptor)
{
    private readonly Lock _lock = new();
    private volatile AcceptPause _reasons;
    private bool _armed;

    public bool IsPausedFor(AcceptPause reason) => (_reasons & reason) != 0;

    /// <summary>Registers for the first time. Returns an error if no loop could.</summary>
    public IoResult Arm() => Resume(AcceptPause.None);

    /// <summary>Adds a reason not to accept. True: it is new.</summary>
    public bool Pause(AcceptPause reason)
    {
        using (_lock.Hold())
        {
            bool isNew = (_reasons & reason) == 0;
            _reasons |= reason;
            _armed = false;
            foreach (AcceptHandler handler in handlers)
            {
                if (handler.IsRegistered)
                {
                    handler.IsRegistered = false;
                    handler.Loop.Deregister(handler, descriptor);
                }
            }

            return isNew;
        }
    }

    /// <summary>Takes a reason away. An error: no reason is left, and yet no loop could register.</summary>
    public IoResult Resume(AcceptPause reason)
    {
        using (_lock.Hold())
        {
            _reasons &= ~reason;
            IoResult result = IoResult.Success(0);
            if (_armed || _reasons != AcceptPause.None)
            {
                return result;
            }

            foreach (AcceptHandler handler in handlers)
            {
                result = handler.Loop.RegisterShared(handler, descriptor);
                handler.IsRegistered = !result.IsError;
                _armed |= handler.IsRegistered;
                if (_armed && !handler.Loop.SharesListeners)
                {
                    break;
                }
            }

            // One loop that accepts is enough to go on with.
            return _armed ? IoResult.Success(0) : result;
        }
    }
}
