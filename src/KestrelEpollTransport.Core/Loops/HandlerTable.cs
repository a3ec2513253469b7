using System.Diagnostics.CodeAnalysis;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Loops;

/// <summary>
/// The handlers of one loop by token. Adding and removing lock and may be done from any thread; the look-up,
/// once an event, takes no lock and is for the loop.
/// </summary>
internal sealed class HandlerTable
{
    private readonly Lock _lock = new();
    private readonly Stack<int> _free = new();

    // Written under the lock, read without it. A grown copy replaces the array, so a look-up may still see the
    // old one: all it can miss is a handler that was added after the event was told.
    private ILoopHandler?[] _handlers = new ILoopHandler?[16];
    private int _used;

    // A token comes again after 2^32 of a loop, and an event is on its way for a pass.
    private uint _generation;

    /// <summary>Gives the handler a token that no other handler of this loop has had.</summary>
    public void Add(ILoopHandler handler)
    {
        using (_lock.Hold())
        {
            if (!_free.TryPop(out int slot))
            {
                slot = _used++;
                if (slot == _handlers.Length)
                {
                    ILoopHandler?[] larger = new ILoopHandler?[slot * 2];
                    Array.Copy(_handlers, larger, slot);
                    Volatile.Write(ref _handlers, larger);
                }
            }

            handler.Token = new Token(slot, ++_generation);
            Volatile.Write(ref _handlers[slot], handler);
        }
    }

    /// <summary>Retires the handler's token: the slot's next user has another one.</summary>
    public void Remove(ILoopHandler handler)
    {
        using (_lock.Hold())
        {
            int slot = handler.Token.Slot;
            if (ReferenceEquals(_handlers[slot], handler))
            {
                Volatile.Write(ref _handlers[slot], null);
                _free.Push(slot);
            }
        }
    }

    /// <summary>Finds whose event it is; false for an event of a registration that ended.</summary>
    public bool TryGet(Token token, [NotNullWhen(true)] out ILoopHandler? handler)
    {
        ILoopHandler?[] handlers = Volatile.Read(ref _handlers);
        int slot = token.Slot;
        handler = (uint)slot < (uint)handlers.Length ? Volatile.Read(ref handlers[slot]) : null;
        return handler is not null && handler.Token == token;
    }

    /// <summary>All handlers of this moment, for looking only: without the lock, for which loops would wait. One that is being added may be missed.</summary>
    public ILoopHandler[] Look() => [.. Volatile.Read(ref _handlers).OfType<ILoopHandler>()];

    /// <summary>All handlers of this moment.</summary>
    public ILoopHandler[] Snapshot()
    {
        using HeldLock held = _lock.Hold();
        return Look();
    }
}
