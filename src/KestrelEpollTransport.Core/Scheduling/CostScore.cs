using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Whether dispatches of one kind are too dear for a loop, by how many of them were: with a weight of w, more than about one in
/// w + 1 has to be. A hint: threads may overwrite each other's notes.
/// </summary>
/// <remarks>
/// A dear one adds the weight, a cheap one takes 1 away. It becomes dear above two dear dispatches' weight, so by the
/// third of three that are close to each other, and cheap again at 0. One by itself is most often none of the application's: the
/// thread was preempted, the collector ran, or code was compiled; and so are two, where processors are busy.
/// </remarks>
internal struct CostScore
{
    /// <summary>A hand-over cost everyone on the loop some milliseconds: one in 129 is one too many.</summary>
    private const int HandOffWeight = 128;

    /// <summary>What was dear for ever so long is cheap after so many cheap ones.</summary>
    private const int Max = 2 * HandOffWeight;

    /// <summary>So many dear ones are forgiven when they are close to each other: the next one is one too many.</summary>
    private const int DemotingStrikes = 2;

    private readonly short _weight;
    private short _score;
    private bool _isDear;

    /// <param name="weight">Of one dear dispatch against cheap ones.</param>
    /// <param name="isDear">What to begin with: as soon as cheap ones outweigh one dear one, this is over.</param>
    public CostScore(short weight, bool isDear = false)
    {
        _weight = weight;
        _isDear = isDear;
        _score = isDear ? weight : (short)0;
    }

    /// <summary>Whether they are too dear for a loop.</summary>
    public readonly bool IsDear => _isDear;

    /// <summary>Whether the next dear dispatch may make them too dear, or they are: it is worth a closer look.</summary>
    public readonly bool HasStrikes => _score > 0;

    /// <summary>A dispatch took longer, or no longer, than the limit. True: this has changed <see cref="IsDear"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Note(bool isDear)
    {
        // A cheap one of a cheap kind: nearly all there are. Both, for two threads that note at the same moment may leave one of a
        // dear kind at 0, and it comes back with this.
        if (!isDear && _score == 0 && !_isDear)
        {
            return false;
        }

        return Add(isDear ? _weight : -1);
    }

    /// <summary>A dispatch was handed off. True: this has changed <see cref="IsDear"/>.</summary>
    public bool NoteHandOff() => Add(HandOffWeight);

    private bool Add(int weight)
    {
        _score = (short)Math.Clamp(_score + weight, 0, Max);
        bool isDear = _isDear ? _score > 0 : _score > DemotingStrikes * _weight;
        bool changed = isDear != _isDear;
        _isDear = isDear;
        return changed;
    }
}
