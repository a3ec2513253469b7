using System.Runtime.CompilerServices;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// What a connection's dispatches cost lately, and so whether they run on its loop or off it. Only in
/// <see cref="ApplicationScheduling.Adaptive"/>; elsewhere it measures nothing.
/// </summary>
/// <remarks>
/// A reader's dispatch notes its end before another thread can begin the next one. A writer's resume, and the watch, may do so
/// at the same moment: one of the two is lost, and it is only a hint.
/// </remarks>
internal struct DispatchProfile
{
    /// <summary>The dispatches of a connection that tell what its endpoint's connections begin with.</summary>
    private const int Starts = 4;

    /// <summary>
    /// How many times the limit they have: a server sets up a connection in them, in a moment when many begin at once. A TLS
    /// handshake takes more than that, and so does whoever blocks.
    /// </summary>
    private const int StartFactor = 4;

    /// <summary>More than one dear dispatch in 33 is too many.</summary>
    private const short DearWeight = 32;

    /// <summary>
    /// A connection is known to block from the second dispatch that slept among so many, for about as many. One by itself may
    /// have met a lock, or the collector.
    /// </summary>
    private const byte BlockingMemory = 64;
    private const byte KnownToBlock = 2 * BlockingMemory;

    /// <summary>One dispatch in so many of a connection tells what is typical; a power of two.</summary>
    private const int SampleEvery = 8;

    private readonly DispatchHistory? _history;
    private CostScore _score;
    private byte _starts;
    private byte _slept;
    private byte _sample;
    private bool _lastWasDear;
    private bool _hasBegun;

    /// <param name="history">Of the endpoint; null: do not measure.</param>
    public DispatchProfile(DispatchHistory? history)
    {
        _history = history;
        _score = new CostScore(DearWeight);
    }

    public readonly bool RunsInline => _hasBegun ? !_score.IsDear : _history is not { StartsInline: false };

    /// <summary>Whether the next dispatch is likely to be short: the last one was, or there was none.</summary>
    public readonly bool IsQuick => !_lastWasDear;

    /// <summary>
    /// Whether a dispatch may block, as some did lately; or those of the endpoint's other new connections. False: dispatches compute,
    /// as far as is known.
    /// </summary>
    public readonly bool MayBlock =>
        _slept > BlockingMemory || (_starts < Starts && _history is { StartsBlock: true }) || !ThreadUsage.IsKnown;

    /// <summary>A dispatch begins. Returns what <see cref="End"/> wants to know.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long Begin()
    {
        if (_history is null)
        {
            return 0;
        }

        if (!_hasBegun)
        {
            // As late as can be: of a thousand connections that are accepted before the first of them has blocked, nearly
            // all know better by now.
            _hasBegun = true;
            _score = new CostScore(DearWeight, isDear: !_history.StartsInline);
        }

        return DispatchCost.Begin(asksKernel: _score.HasStrikes || (_starts < Starts && _history.HasStrikes));
    }

    /// <summary>The dispatch is over.</summary>
    /// <param name="began">What <see cref="Begin"/> returned.</param>
    /// <param name="reads">How many reads it served: pipelined requests share its cost.</param>
    public void End(long began, int reads)
    {
        if (_history is not null)
        {
            reads = Math.Max(reads, 1);
            long limit = _history.LimitTicks;
            (long cost, DispatchUse use) = DispatchCost.End(began, limit * reads);
            cost /= reads;
            if (_sample++ % SampleEvery == 0 && use == DispatchUse.Computed)
            {
                _history.NoteCost(cost);
            }

            Note(cost > limit, cost > limit * StartFactor, use);
        }
    }

    /// <summary>A dispatch kept the loop for so long that another thread took the loop over.</summary>
    /// <param name="isBlocked">Whether it does nothing; false: it computes.</param>
    public void HandedOff(bool isBlocked)
    {
        _slept = isBlocked ? KnownToBlock : _slept;
        if (_starts < Starts)
        {
            _history!.NoteHandOff(isBlocked);
        }

        _lastWasDear = true;
        if (_score.NoteHandOff())
        {
            _history!.Counters.Demoted();
        }
    }

    /// <summary>A dispatch off the loop was seen blocked, twice in a row. The watch.</summary>
    public void SeenBlocked()
    {
        _slept = KnownToBlock;
        if (_starts < Starts)
        {
            _history!.NoteSeenBlocked();
        }
    }

    /// <summary>A dispatch was dear, or cheap.</summary>
    /// <param name="isDear">For a connection.</param>
    /// <param name="isDearStart">For the beginning of one.</param>
    /// <param name="use">What it did.</param>
    internal void Note(bool isDear, bool isDearStart, DispatchUse use = DispatchUse.Computed)
    {
        if (_starts < Starts)
        {
            _starts++;
            _history!.NoteStart(isDearStart, use);
        }

        // Read once: another thread may note at the same moment.
        byte slept = _slept;
        if (isDear && use == DispatchUse.Slept)
        {
            _slept = (byte)Math.Min(slept + BlockingMemory, KnownToBlock);
        }
        else if (slept > 0 && use == DispatchUse.Computed)
        {
            _slept = (byte)(slept - 1);
        }

        _lastWasDear = isDear;
        if (_score.Note(isDear))
        {
            CountChange();
        }
    }

    private readonly void CountChange()
    {
        if (_score.IsDear)
        {
            _history!.Counters.Demoted();
        }
        else
        {
            _history!.Counters.Promoted();
        }
    }
}
