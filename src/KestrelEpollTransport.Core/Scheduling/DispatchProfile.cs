using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// What a connection's dispatches cost lately, and whether they run on its loop or off it. Only in
/// <see cref="ApplicationScheduling.Adaptive"/>; elsewhere it measures nothing.
/// </summary>
/// <remarks>
/// <code>
/// where     what happens                                              then
/// inline    a second dear dispatch within <see cref="CloseBehind"/> others           off-loop (demotion)
/// inline    a dispatch is handed off                                  off-loop (demotion)
/// off-loop  as many cheap dispatches in a row as this connection owes inline (promotion)
/// </code>
/// <para>One dear dispatch by itself is most often none of the application's: the thread was preempted, or code was compiled. A
/// demotion doubles what the connection owes next time, so that one request in twenty that is dear keeps it off the loop; a long
/// cheap run inline sets it back.</para>
/// <para>A reader's dispatch notes its end before another thread can begin the next one. A writer's resume may do so at the same
/// moment: one of the two is lost, and it is only a hint.</para>
/// </remarks>
internal struct DispatchProfile
{
    /// <summary>Two dear dispatches with fewer than this many cheap ones in between demote.</summary>
    private const int CloseBehind = 32;

    /// <summary>The cheap dispatches in a row that the first promotion takes, and the most that a later one takes.</summary>
    private const int LeastOwed = 16;
    private const int MostOwed = 1024;

    /// <summary>So many cheap dispatches in a row, inline, and earlier demotions are forgotten.</summary>
    private const int Forgiven = 1024;

    /// <summary>The dispatches of a connection that tell what its endpoint's connections begin with.</summary>
    private const int Starts = 4;

    private readonly DispatchHistory? _history;
    private int _cheapRun;
    private short _owed;
    private byte _starts;
    private bool _isOffLoop;

    /// <param name="history">Of the endpoint; null: do not measure.</param>
    public DispatchProfile(DispatchHistory? history)
    {
        _history = history;
        _cheapRun = CloseBehind;
        _owed = LeastOwed / 2;
        if (history is { StartsInline: false })
        {
            _isOffLoop = true;
            _owed = LeastOwed;
            _cheapRun = 0;
        }
    }

    public readonly bool RunsInline => !_isOffLoop;

    /// <summary>A dispatch begins. Returns what <see cref="End"/> wants to know.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly long Begin() => _history is null ? 0 : Stopwatch.GetTimestamp();

    /// <summary>The dispatch is over.</summary>
    /// <param name="began">What <see cref="Begin"/> returned.</param>
    /// <param name="reads">How many reads it served: pipelined requests share its cost.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void End(long began, int reads)
    {
        if (_history is not null)
        {
            Note((Stopwatch.GetTimestamp() - began) / Math.Max(reads, 1) > _history.LimitTicks);
        }
    }

    /// <summary>A dispatch kept the loop for so long that another thread took the loop over.</summary>
    public void HandedOff()
    {
        _history?.NoteStart(isDear: true);
        _cheapRun = 0;
        Demote();
    }

    /// <summary>A dispatch was dear, or cheap.</summary>
    internal void Note(bool isDear)
    {
        if (_starts < Starts)
        {
            _starts++;
            _history!.NoteStart(isDear);
        }

        if (isDear)
        {
            bool second = _cheapRun < CloseBehind;
            _cheapRun = 0;
            if (second)
            {
                Demote();
            }
        }
        else if (_cheapRun < Forgiven && ++_cheapRun >= (_isOffLoop ? _owed : Forgiven))
        {
            EndCheapRun();
        }
    }

    private void EndCheapRun()
    {
        if (!_isOffLoop)
        {
            _owed = LeastOwed / 2;
            return;
        }

        _isOffLoop = false;
        _history!.Counters.Promoted();
    }

    private void Demote()
    {
        if (!_isOffLoop)
        {
            _isOffLoop = true;
            _owed = (short)Math.Min(_owed * 2, MostOwed);
            _history!.Counters.Demoted();
        }
    }
}
