using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Whether dispatches of one kind are too dear for a loop, by how many of them were: more than about one in 33 has to be. A
/// hint: threads may overwrite each other's notes.
/// </summary>
/// <remarks>
/// A dear one adds <see cref="DearWeight"/>, a cheap one takes 1 away. It becomes dear above one dear dispatch's weight, so by the
/// second of two that are close to each other, and cheap again at 0. One by itself is most often none of the application's: the
/// thread was preempted, the collector ran, or code was compiled.
/// </remarks>
internal struct CostScore
{
    private const int DearWeight = 32;

    /// <summary>A hand-over cost everyone on the loop some milliseconds: one in 129 is one too many.</summary>
    private const int HandOffWeight = 4 * DearWeight;

    /// <summary>What was dear for ever so long is cheap after so many cheap ones.</summary>
    private const int Max = 2 * HandOffWeight;

    private short _score;
    private bool _isDear;

    /// <summary>Whether they are too dear for a loop.</summary>
    public readonly bool IsDear => _isDear;

    /// <summary>A dispatch took longer, or no longer, than the limit. True: this has changed <see cref="IsDear"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Note(bool isDear)
    {
        // A cheap one of a cheap kind: nearly all there are.
        if (!isDear && _score == 0)
        {
            return false;
        }

        return Add(isDear ? DearWeight : -1);
    }

    /// <summary>A dispatch was handed off. True: this has changed <see cref="IsDear"/>.</summary>
    public bool NoteHandOff() => Add(HandOffWeight);

    private bool Add(int weight)
    {
        _score = (short)Math.Clamp(_score + weight, 0, Max);
        bool isDear = _isDear ? _score > 0 : _score > DearWeight;
        bool changed = isDear != _isDear;
        _isDear = isDear;
        return changed;
    }
}
