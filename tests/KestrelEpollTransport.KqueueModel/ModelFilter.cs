using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Bsd;

namespace KestrelEpollTransport.Tests;

/// <summary>One filter of a <see cref="ModelQueue"/>, what a kernel calls a knote. Under the queue's lock.</summary>
internal sealed class ModelFilter(ulong key, in Kevent added)
{
    private readonly ulong _identifier = added.Identifier;
    private readonly short _filter = added.Filter;

    /// <summary>No other filter of the queue has had it.</summary>
    public ulong Key { get; } = key;

    /// <summary>EV_CLEAR: told once, until something happens again.</summary>
    public bool IsEdge { get; } = (added.Flags & Kevent.EV_CLEAR) != 0;

    public ulong UserData { get; set; }

    /// <summary>Whether it is in the list of active filters.</summary>
    public bool IsActive { get; set; }

    public bool IsDeleted { get; set; }

    /// <summary>Of a user's event.</summary>
    public bool IsTriggered { get; set; }

    /// <summary>Looks at what is there now; false: nothing, any more.</summary>
    public bool TryTell(out Kevent told)
    {
        told = new Kevent
        {
            Identifier = _identifier,
            Filter = _filter,
            Flags = IsEdge ? Kevent.EV_CLEAR : (ushort)0,
            UserData = UserData,
        };
        return _filter switch
        {
            Kevent.EVFILT_READ => TryTellReadable(ref told),
            Kevent.EVFILT_WRITE => TryTellWritable(ref told),
            _ => TryTellTriggered(),
        };
    }

    private static void TellEnd(uint state, ref Kevent told)
    {
        told.Flags |= Kevent.EV_EOF;
        told.FilterFlags = (state & ModelCalls.Error) != 0 ? Errno.ECONNRESET : 0u;
    }

    private bool TryTellReadable(ref Kevent told)
    {
        uint state = ModelCalls.Look((int)_identifier, ModelCalls.Readable | ModelCalls.PeerClosed);
        if (state == 0)
        {
            return false;
        }

        // A listener has no bytes but connections, which Linux does not count.
        told.Data = Math.Max(SystemCalls.GetUnreadBytes((int)_identifier).Value, 0);
        if ((state & (ModelCalls.PeerClosed | ModelCalls.HungUp)) != 0)
        {
            TellEnd(state, ref told);
        }

        return true;
    }

    private bool TryTellWritable(ref Kevent told)
    {
        uint state = ModelCalls.Look((int)_identifier, ModelCalls.Writable);
        if (state == 0)
        {
            return false;
        }

        told.Data = 1;
        if ((state & (ModelCalls.HungUp | ModelCalls.Error)) != 0)
        {
            TellEnd(state, ref told);
        }

        return true;
    }

    private bool TryTellTriggered()
    {
        bool isTriggered = IsTriggered;
        IsTriggered &= !IsEdge;
        return isTriggered;
    }
}
