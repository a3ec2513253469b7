using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Listening;

/// <summary>Why a listener does not accept at the moment.</summary>
[Flags]
internal enum AcceptPause
{
    None = 0,

    /// <summary>The application has not taken what was accepted.</summary>
    QueueFull = 1,

    /// <summary>An error: wait a little.</summary>
    BackOff = 2,

    /// <summary>For good.</summary>
    Unbound = 4,
}

/// <summary>
/// Whether a listening descriptor is registered, in all loops or in none: it is while there is no reason to pause.
/// Thread-safe.
/// </summary>
internal sealed class AcceptArming
{
    private readonly Lock _lock = new();
    private readonly AcceptHandler[] _handlers;
    private readonly int _descriptor;
    private volatile AcceptPause _reasons;
    private bool _armed;

    public AcceptArming(AcceptHandler[] handlers, int descriptor)
    {
        _handlers = handlers;
        _descriptor = descriptor;
    }

    public bool IsPausedFor(AcceptPause reason) => (_reasons & reason) != 0;

    /// <summary>Registers everywhere for the first time. Returns an error if no loop could.</summary>
    public IoResult Arm()
    {
        lock (_lock)
        {
            return ArmLocked();
        }
    }

    /// <summary>Adds a reason not to accept. True: it is new.</summary>
    public bool Pause(AcceptPause reason)
    {
        lock (_lock)
        {
            bool isNew = (_reasons & reason) == 0;
            _reasons |= reason;
            if (_armed)
            {
                _armed = false;
                foreach (AcceptHandler handler in _handlers)
                {
                    handler.Loop.Deregister(handler, _descriptor);
                }
            }

            return isNew;
        }
    }

    /// <summary>Takes a reason away. An error: no reason is left, and yet no loop could register.</summary>
    public IoResult Resume(AcceptPause reason)
    {
        lock (_lock)
        {
            _reasons &= ~reason;
            return ArmLocked();
        }
    }

    private IoResult ArmLocked()
    {
        if (_armed || _reasons != AcceptPause.None)
        {
            return IoResult.Success(0);
        }

        // One loop that accepts is enough to go on with.
        IoResult result = default;
        foreach (AcceptHandler handler in _handlers)
        {
            IoResult registered = handler.Loop.RegisterShared(handler, _descriptor);
            _armed |= !registered.IsError;
            result = _armed ? IoResult.Success(0) : registered;
        }

        return result;
    }
}
