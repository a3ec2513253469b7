using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// What a connection's dispatches did lately: whether they block, and so run off the loop; and how long the next one may take. Only in
/// <see cref="ApplicationScheduling.Adaptive"/>; elsewhere it measures nothing.
/// </summary>
/// <remarks>
/// Two threads may note at the same moment (the end of a dispatch and of the next one, a writer's resume, the watch): one note of the two
/// is lost, and it is only a hint.
/// </remarks>
/// <param name="history">Of the endpoint; null: do not measure.</param>
internal struct DispatchProfile(DispatchHistory? history)
{
    /// <summary>The dispatches of a connection that tell what its endpoint's connections begin with.</summary>
    private const int Starts = 4;

    /// <summary>More than one dispatch in 33 that blocks, or computes for long, is too many.</summary>
    private const short Weight = 32;

    /// <summary>So many short parts of requests count as one dispatch.</summary>
    private const int ShortParts = 64;

    /// <summary>Of those that block for certain the kernel is asked about one in so many: four system calls less for each of the others.</summary>
    private const int CertainPerAsk = 8;

    private Habit _blocks = new(Weight);
    private Habit _isLong = new(Weight);
    private long _lastTicks;
    private long _lastPartTicks;
    private byte _shortParts;
    private byte _starts;
    private byte _certain;
    private bool _hasBegun;

    /// <summary>Whether dispatches are not known to block.</summary>
    public readonly bool RunsInline => _hasBegun ? !_blocks.IsKnown : history is not { StartsBlock: true };

    /// <summary>Whether the next dispatch is likely to be short: the last one was, or there was none.</summary>
    public readonly bool IsQuick => _lastTicks <= (history?.LimitTicks ?? 0);

    /// <summary>How the next dispatch is to run off the loop; null: it is to run there.</summary>
    /// <remarks>Who proves to be quick must not wait behind all that blocks: 150 ms for each request, beside a thousand handlers that sleep.</remarks>
    public readonly WorkLane? Lane => !RunsInline ? (IsQuick ? WorkLane.Quick : WorkLane.Slow) : IsLong ? WorkLane.Long : null;

    /// <summary>The same for a part of a dispatch, which follows a flush. Never long: who has a place among those that compute for long may wait for it.</summary>
    public readonly WorkLane? PartLane => RunsInline && !IsLong ? null : _lastPartTicks <= (history?.LimitTicks ?? 0) ? WorkLane.Quick : WorkLane.Slow;

    /// <summary>Whether the next dispatch is likely to compute for so long that others are not to wait for it.</summary>
    public readonly bool IsLong => _isLong.IsKnown || (_starts < Starts && history is { StartsAreLong: true });

    /// <summary>A dispatch begins. Returns what <see cref="End"/> wants to know.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long Begin()
    {
        if (history is null)
        {
            return 0;
        }

        if (!_hasBegun)
        {
            // As late as can be: of a thousand connections that are accepted before the first of them has blocked, nearly
            // all know better by now.
            _hasBegun = true;
            _blocks = new Habit(Weight, isKnown: history.StartsBlock);
        }

        return DispatchCost.Begin(asksKernel: _isLong.IsSuspected || (_starts < Starts && history.StartsAreSuspected)
            || (_blocks.IsCertain ? ++_certain % CertainPerAsk == 0 : _blocks.IsSuspected));
    }

    /// <summary>The dispatch is over, and has served so many reads: pipelined requests share its time. Or a part of one is, which followed a flush.</summary>
    public void End(long began, int reads, bool isPart = false)
    {
        if (history is not null)
        {
            Note(DispatchCost.End(began, history.LimitTicks * Math.Max(reads, 1)), isPart);
        }
    }

    /// <summary>As <see cref="Loops.IDispatched.OnHandedOff"/>.</summary>
    public void HandedOff(bool isBlocked)
    {
        _lastTicks = long.MaxValue;
        if (!isBlocked)
        {
            // It computes, or waits for a processor: the kernel tells next time.
            _isLong.Suspect();
            return;
        }

        if (_starts < Starts)
        {
            history!.NoteHandOff();
        }

        if (_blocks.NoteHandOff())
        {
            history!.Counters.Moved(toLoop: false);
        }
    }

    /// <summary>A dispatch, or a part of one, took so long, and used its time so.</summary>
    internal void Note(DispatchTime time, bool isPart = false)
    {
        (isPart ? ref _lastPartTicks : ref _lastTicks) = time.Ticks;
        if (isPart && time.Slept == false && time.ComputedTicks <= history!.LongTicks && ++_shortParts % ShortParts != 0)
        {
            // A large response has hundreds of those, and they would outweigh that it blocked once.
            return;
        }

        _isLong.Note(time.ComputedTicks > history!.LongTicks);
        if (_starts < Starts)
        {
            _starts++;
            history.NoteStart(time);
        }

        if (time.Slept is not { } slept)
        {
            _blocks.Suspect();
        }
        else if (_blocks.Note(slept))
        {
            history.Counters.Moved(toLoop: !_blocks.IsKnown);
        }
    }
}
