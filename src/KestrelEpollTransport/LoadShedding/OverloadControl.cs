using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.LoadShedding;

/// <summary>
/// Whether one queue of requests is overloaded, and which of them are refused then. All times are in the ticks of <see cref="TimeSpan"/>.
/// Thread-safe.
/// </summary>
/// <remarks>
/// <para><b>Overload is a queue that does not drain,</b> and not one that is long: the least delay is above the target for an interval. That
/// is CoDel's (RFC 8289, section 3.2), and does not depend on what the requests do, or how many can be served. If it has fallen by a good part
/// of what it was in the interval, the queue does drain, as behind a moment in which the machine did something else, and it is given another interval;
/// the next one only if it falls by as much again, or a delay that goes up and down would go on for ever.
/// Of what one pass of a loop told the longest delay counts: the first of them has hardly waited when the loop slept, or seems to have.</para>
/// <para><b>Refused is what has waited for longer than a limit,</b> and not a share of what comes. CoDel drops more and more until senders slow
/// down; clients of a server do not, and at three times what it can do two of three have to be refused at once. A limit does that without
/// knowing the rate: of a queue that is served in turn, the head has always waited for about as long. While it is refused nobody idles, and
/// what is served has waited for no longer. To refuse everything until the queue is empty, and then nothing until it is long, serves less,
/// and as late as the queue was long.</para>
/// <para><b>A thread refuses no more in a row than it has to,</b> which is as many as were refused for each that was served lately, and one more. If
/// handlers block on several threads, what is too late would otherwise keep each thread that is done from serving until all of it is refused. Then
/// they all begin at the same moment, are done at the same moment, and what came meanwhile is too late again: they march in step, and processors idle
/// while they sleep.</para>
/// <para><b>The limit is half the target, and is doubled while threads idle,</b> which they do if requests are found that have hardly waited: then
/// the load is no more than what can be done, or handlers take so long that the next one has always waited for longer than the limit. In the
/// second case there is soon always one that may be served, and the limit comes down again; in the first it goes on until it is clear that
/// there is no overload.</para>
/// </remarks>
/// <param name="target">The least delay that is overload.</param>
/// <param name="interval">For how long.</param>
internal sealed class OverloadControl(long target, long interval)
{
    /// <summary>Fewer requests tell nothing: an interval lasts until there were as many.</summary>
    internal const int LeastRequests = 10;

    /// <summary>So many passes in which nobody waited for long are enough.</summary>
    private const int ShortPasses = 2;

    /// <summary>A delay that has fallen by this part of its greatest: the queue drains.</summary>
    private const int DrainedShare = 4;

    /// <summary>One in so many that hardly waited: threads idle.</summary>
    private const int IdleShare = 20;

    /// <summary>Who waited for less than this part of the target has hardly waited.</summary>
    private const int HardlyShare = 8;

    /// <summary>Where so many times the target keep nobody busy all the time, there is no overload.</summary>
    private const int MostTargets = 16;

    private readonly long _least = target / 2;

    // Written under the lock.
    private readonly Lock _lock = new();
    private volatile bool _isAbove;
    private volatile bool _isOverloaded;
    private long _limit;
    private long _began;
    private long _longest;
    private long _most;
    private long _last;
    private long _abovePass;
    private int _mostInARow;
    private int _seen;
    private int _prompt;
    private int _late;
    private long _refused;

    /// <summary>Whether what waits for too long is refused.</summary>
    public bool IsOverloaded => _isOverloaded;

    /// <summary>Whether a request that has waited for so long changes nothing, and is served. Without a lock, as nearly all are.</summary>
    public bool IsCalm(long waited) => waited <= target && !_isAbove;

    /// <summary>A request begins. True: it is to be refused.</summary>
    /// <param name="now">The moment; of any clock that does not go back.</param>
    /// <param name="waited">How long it has waited.</param>
    /// <param name="pass">The number of the pass that told it; null: it was told by itself.</param>
    /// <param name="inARow">How many the calling thread has refused in a row, of this queue. Kept by the caller, for this.</param>
    /// <param name="news">What has changed with it.</param>
    public bool Refuses(long now, long waited, long? pass, ref int inARow, out OverloadNews news)
    {
        news = OverloadNews.None;
        if (IsCalm(waited))
        {
            return false;
        }

        using (_lock.Hold())
        {
            // Nothing came for so long, and who comes now was not there yet: nothing waits. Not so a queue that is slow, or was stopped.
            long gap = now - _last;
            bool ends = gap > interval && waited < gap;
            _last = now;
            if (_isOverloaded)
            {
                ends = ends || HasDrained(now);
                news = ends ? OverloadNews.Ended : OverloadNews.None;
                _isOverloaded = !ends;
            }
            else
            {
                ends = ends || (waited <= target && !(pass - _abovePass <= ShortPasses));
            }

            _isAbove &= !ends;
            if (waited > target)
            {
                _abovePass = pass ?? 0;
                if (!_isAbove)
                {
                    _isAbove = true;
                    _most = long.MaxValue;
                    BeginInterval(now);
                }
            }

            return _isAbove && Note(now, waited, ref inARow, ref news);
        }
    }

    /// <summary>A request was refused, and not exempt.</summary>
    public void OnRefused()
    {
        using (_lock.Hold())
        {
            _refused++;
        }
    }

    /// <summary>How many were since this was asked last.</summary>
    public long TakeRefused()
    {
        using (_lock.Hold())
        {
            long refused = _refused;
            _refused = 0;
            return refused;
        }
    }

    private bool Note(long now, long waited, ref int inARow, ref OverloadNews news)
    {
        _seen++;
        _longest = Math.Max(_longest, waited);
        if (!_isOverloaded && IsIntervalOver(now))
        {
            // Looked at again with each request, as the first ones of a pass have always waited for less.
            long longest = Math.Min(_longest, _most);
            long drained = longest - (longest / DrainedShare);
            bool drains = waited <= drained;
            if (!drains)
            {
                news = OverloadNews.Began;
                _isOverloaded = true;
                _limit = _least;
                _mostInARow = int.MaxValue;
            }

            if (!drains || (now - _began >= 2 * interval && _seen >= 2 * LeastRequests))
            {
                _most = drained;
                BeginInterval(now);
            }
        }

        bool isLate = _isOverloaded && waited > _limit && !(waited <= 2 * _limit && inARow >= _mostInARow);
        inARow = isLate ? inARow + 1 : 0;
        _late += isLate ? 1 : 0;
        _prompt += waited < target / HardlyShare ? 1 : 0;
        return isLate;
    }

    private bool HasDrained(long now)
    {
        if (!IsIntervalOver(now))
        {
            return false;
        }

        bool idles = _prompt * IdleShare >= _seen;
        _limit = idles ? _limit * 2 : Math.Max(_limit / 2, _least);
        _mostInARow = 1 + (_late / Math.Max(_seen - _late, 1));
        bool hasDrained = _late == 0 || _limit > MostTargets * target;
        BeginInterval(now);
        return hasDrained;
    }

    private bool IsIntervalOver(long now) => now - _began >= interval && _seen >= LeastRequests;

    private void BeginInterval(long now)
    {
        _began = now;
        _seen = _prompt = _late = 0;
        _longest = 0;
    }
}
