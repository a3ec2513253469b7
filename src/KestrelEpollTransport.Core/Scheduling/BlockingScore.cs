using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Whether dispatches of one kind block, by how many of them did: with a weight of w, more than about one in w + 1 has to. A hint:
/// threads may overwrite each other's notes.
/// </summary>
/// <remarks>
/// One that blocked adds the weight, any other takes 1 away. The kind is known to block above the weight of two, so by the third of
/// three that are close to each other, and no longer at 0. One by itself may have met a lock, or the collector.
/// </remarks>
internal struct BlockingScore
{
    /// <summary>A hand-over cost everyone on the loop some milliseconds: one in 129 is one too many.</summary>
    private const int HandOffWeight = 128;

    /// <summary>What blocked for ever so long is forgotten after so many that did not.</summary>
    private const int Max = 2 * HandOffWeight;

    /// <summary>So many that blocked are forgiven when they are close to each other: the next one is one too many.</summary>
    private const int Forgiven = 2;

    private readonly short _weight;
    private short _score;
    private bool _isKnown;

    /// <param name="weight">Of one dispatch that blocked against one that did not.</param>
    /// <param name="isKnown">What to begin with: as soon as others outweigh one that blocked, this is over.</param>
    public BlockingScore(short weight, bool isKnown = false)
    {
        _weight = weight;
        _isKnown = isKnown;
        _score = isKnown ? weight : (short)0;
    }

    /// <summary>Whether they are known to block.</summary>
    public readonly bool IsKnown => _isKnown;

    /// <summary>Whether some did, or took long for reasons that are not known: the next ones are worth a closer look.</summary>
    public readonly bool IsSuspected => _score > 0;

    /// <summary>A dispatch is over. True: this has changed <see cref="IsKnown"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Note(bool blocked)
    {
        // Nearly all there are. Both, for two threads that note at the same moment may leave a kind that is known at 0, and it
        // comes back with this.
        if (!blocked && _score == 0 && !_isKnown)
        {
            return false;
        }

        return Add(blocked ? _weight : -1);
    }

    /// <summary>A dispatch blocked for so long that it was handed off. True: this has changed <see cref="IsKnown"/>.</summary>
    public bool NoteHandOff() => Add(HandOffWeight);

    /// <summary>A dispatch took long, and why is not known: the next ones are to be looked into.</summary>
    public void Suspect() => _score = Math.Max(_score, _weight);

    private bool Add(int weight)
    {
        _score = (short)Math.Clamp(_score + weight, 0, Max);
        bool isKnown = _isKnown ? _score > 0 : _score > Forgiven * _weight;
        bool changed = isKnown != _isKnown;
        _isKnown = isKnown;
        return changed;
    }
}
