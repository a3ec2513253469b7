namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// The threads that run dear work which is not known to block: as many as there are slots. What blocks all the same, or computes
/// for long, loses its slot, so that others don't wait for it. Thread-safe.
/// </summary>
internal sealed class ComputingSlots(int count)
{
    private readonly ComputingSlot[] _slots = [.. Enumerable.Range(0, count).Select(static _ => new ComputingSlot())];

    public int Count => _slots.Length;

    /// <summary>Whether a thread would get a slot at this moment.</summary>
    public bool HasFree => !Array.TrueForAll(_slots, static slot => slot.IsTaken);

    /// <summary>Takes a slot for the calling thread, which gives it back with <see cref="SlotLease.GiveBack"/>. False: all are taken.</summary>
    public bool TryTake(out SlotLease lease)
    {
        foreach (ComputingSlot slot in _slots)
        {
            long number = slot.TryTake();
            if (number != 0)
            {
                lease = new SlotLease(slot, number);
                return true;
            }
        }

        lease = default;
        return false;
    }

    /// <summary>Frees the slots of threads that are blocked, or have computed for long. True: there were some. The watch.</summary>
    /// <param name="elapsed">As for <see cref="IWatched.Look"/>.</param>
    public bool Look(TimeSpan elapsed)
    {
        bool freed = false;
        foreach (ComputingSlot slot in _slots)
        {
            freed |= slot.Look(elapsed);
        }

        return freed;
    }
}

/// <summary>A slot that a thread has taken; the default: it needs none.</summary>
internal readonly record struct SlotLease(ComputingSlot? Slot, long Number)
{
    /// <summary>The thread that took the slot is about to run <paramref name="work"/>.</summary>
    public void Begin(IThreadPoolWorkItem work) => Slot?.Begin(Number, work);

    /// <summary>
    /// Gives the slot back, if the watch has not freed it. A full fence, if there is a slot: who saw it taken is seen by whoever
    /// looks after this.
    /// </summary>
    public void GiveBack() => Slot?.TryFree(Number);
}
