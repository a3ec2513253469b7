using System.Diagnostics;
using KestrelEpollTransport.Polling;

namespace TransportBench.Client;

/// <summary>
/// Drives all connections of a plan on the calling thread, over the <see cref="Poller"/>: a request costs it one receive
/// and one send, so that it is no slower than what it measures.
/// </summary>
internal sealed class LoadLoop : IDisposable
{
    private readonly PollEvent[] _events = new PollEvent[256];
    private readonly List<LoadConnection> _connections = [];
    private readonly LoadPlan _plan;
    private readonly PhaseClock _clock;
    private readonly List<GroupRun> _groups;
    private readonly List<TlsLoad> _tlsGroups;
    private readonly PreciseTimer? _timer;
    private readonly double[] _threadSeconds;
    private double _threadSecondsBefore;
    private int _phase;

    public LoadLoop(LoadPlan plan)
    {
        _plan = plan;
        Poller = Poller.Create();
        _clock = new PhaseClock(plan.PhaseEnds);
        _groups = [.. plan.Groups.Where(static g => !g.UsesTls).Select(g => new GroupRun(this, g, _clock))];
        _tlsGroups = [.. plan.Groups.Where(static g => g.UsesTls).Select(g => new TlsLoad(g, _clock))];
        _timer = _groups.Any(static g => g.OpenLoop is not null) ? new PreciseTimer(Poller) : null;
        _threadSeconds = new double[_clock.PhaseCount];
    }

    public Poller Poller { get; }

    public LoadReport Run()
    {
        foreach (TlsLoad group in _tlsGroups)
        {
            group.Start();
        }

        if (_plan.HasPriority)
        {
            RealTime.TryEnter();
        }

        _threadSecondsBefore = ThreadTime.GetSeconds();
        long now = Stopwatch.GetTimestamp();
        while (now < _clock.End)
        {
            long due = _clock.EndOf(_phase);
            foreach (GroupRun group in _groups)
            {
                due = Math.Min(due, group.StartWhatIsDue(now));
            }

            int count = WaitUntil(due);
            now = Stopwatch.GetTimestamp();
            EndPhases(now);

            // What comes after the end is not counted: it has been, as still waiting.
            for (int i = 0; i < count && now < _clock.End; i++)
            {
                if (_events[i].Token != PreciseTimer.Token)
                {
                    _connections[_events[i].Token.Slot].OnReady(_events[i]);
                }
            }
        }

        // A thread that had no turn until the end has measured that.
        EndPhases(now);
        return Report();
    }

    /// <summary>Makes a connection known to this loop; what it returns is its slot.</summary>
    public int Add(LoadConnection connection)
    {
        _connections.Add(connection);
        return _connections.Count - 1;
    }

    public void Dispose()
    {
        foreach (LoadConnection connection in _connections)
        {
            connection.Close();
        }

        _timer?.Dispose();
        Poller.Dispose();
    }

    private int WaitUntil(long due)
    {
        long now = Stopwatch.GetTimestamp();
        if (due <= now)
        {
            return Poller.Wait(_events, timeoutMs: 0);
        }

        if (_timer is null)
        {
            return Poller.Wait(_events, (int)Math.Ceiling(Stopwatch.GetElapsedTime(now, due).TotalMilliseconds));
        }

        _timer.Arm(due);
        return Poller.Wait(_events, timeoutMs: -1);
    }

    private void EndPhases(long now)
    {
        while (_phase < _clock.PhaseCount && now >= _clock.EndOf(_phase))
        {
            foreach (LoadConnection connection in _connections)
            {
                connection.OnPhaseEnd(_phase);
            }

            _groups.ForEach(group => group.OpenLoop?.OnPhaseEnd(_phase));
            _threadSeconds[_phase] = ThreadTime.GetSeconds() - _threadSecondsBefore;
            _threadSecondsBefore += _threadSeconds[_phase];
            _phase++;
        }
    }

    private LoadReport Report()
    {
        Dictionary<string, GroupReport> reports = _groups.Select(static g => g.ToReport())
            .Concat(_tlsGroups.Select(static g => g.ToReport()))
            .ToDictionary(static r => r.Name);
        return new LoadReport([.. _plan.Groups.Select(g => reports[g.Name])], _threadSeconds);
    }
}
