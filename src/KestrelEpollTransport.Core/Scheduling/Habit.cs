using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Whether dispatches of one kind have the habit of something (blocking, computing for long), by how many of them did it: with a weight of w,
/// more than about one in w + 1 has to. A hint: threads may overwrite each other's notes.
/// </summary>
/// <remarks>
/// One that did adds the weight, any other takes 1 away. The habit is known above the weight of two, so by the third of three that are close
/// to each other, and no longer at 0. One by itself may have met a lock, or the collector.
/// </remarks>
/// <param name="weight">Of one dispatch that did it against one that did not.</param>
/// <param name="isKnown">What to begin with: as soon as others outweigh one that did, this is over.</param>
internal struct Habit(short weight, bool isKnown = false)
{
    /// <summary>A hand-off cost everyone on the loop some milliseconds: one in 129 is one too many.</summary>
    private const int HandOffWeight = 128;

    /// <summary>What was done ever so often is forgotten after so many that did not.</summary>
    private const int Max = 2 * HandOffWeight;

    /// <summary>So many are forgiven when they are close to each other: the next one is one too many.</summary>
    private const int Forgiven = 2;

    private short _score = isKnown ? weight : (short)0;

    /// <summary>Whether they have it.</summary>
    public bool IsKnown { get; private set; } = isKnown;

    /// <summary>Whether some did, or took long for reasons that are not known: the next ones are worth a closer look.</summary>
    public readonly bool IsSuspected => _score > 0;

    /// <summary>Whether nearly all did lately: one more tells nothing.</summary>
    public readonly bool IsCertain => _score == Max;

    /// <summary>A dispatch is over. True: this has changed <see cref="IsKnown"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Note(bool did) =>
        // Nearly all change nothing. Both, for two threads that note at the same moment may leave a kind that is known at 0, and it
        // comes back with this.
        (did || _score != 0 || IsKnown) && Add(did ? weight : -1);

    /// <summary>A dispatch did it for so long that it was handed off. True: this has changed <see cref="IsKnown"/>.</summary>
    public bool NoteHandOff() => Add(HandOffWeight);

    /// <summary>A dispatch took long, and why is not known: the next ones are to be looked into.</summary>
    public void Suspect() => _score = Math.Max(_score, weight);

    private bool Add(int change)
    {
        _score = (short)Math.Clamp(_score + change, 0, Max);
        bool wasKnown = IsKnown;
        bool isKnown = _score > (wasKnown ? 0 : Forgiven * weight);
        IsKnown = isKnown;
        return isKnown != wasKnown;
    }
}
