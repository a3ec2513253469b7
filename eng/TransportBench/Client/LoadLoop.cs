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
    private int _phase;

    public LoadLoop(LoadPlan plan)
    {
        _plan = plan;
        Poller = Poller.Create();
        _clock = new PhaseClock(plan.PhaseEnds);
        _groups = [.. plan.Groups.Where(static g => !g.UsesTls).Select(g => new GroupRun(this, g, _clock))];
        _tlsGroups = [.. plan.Groups.Where(static g => g.UsesTls).Select(g => new TlsLoad(g, _clock))];
    }

    public Poller Poller { get; }

    public LoadReport Run()
    {
        foreach (TlsLoad group in _tlsGroups)
        {
            group.Start();
        }

        long now = Stopwatch.GetTimestamp();
        while (now < _clock.End)
        {
            long due = _clock.EndOf(_phase);
            foreach (GroupRun group in _groups)
            {
                due = Math.Min(due, group.StartWhatIsDue(now));
            }

            int count = Poller.Wait(_events, MillisecondsUntil(due));
            now = Stopwatch.GetTimestamp();
            EndPhases(now);
            for (int i = 0; i < count; i++)
            {
                _connections[_events[i].Token.Slot].OnReady(_events[i]);
            }
        }

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

        Poller.Dispose();
    }

    private static int MillisecondsUntil(long due)
    {
        long now = Stopwatch.GetTimestamp();
        return due <= now ? 0 : (int)Math.Ceiling(Stopwatch.GetElapsedTime(now, due).TotalMilliseconds);
    }

    private void EndPhases(long now)
    {
        while (_phase < _clock.PhaseCount && now >= _clock.EndOf(_phase))
        {
            foreach (LoadConnection connection in _connections)
            {
                connection.OnPhaseEnd(_phase);
            }

            _phase++;
        }
    }

    private LoadReport Report()
    {
        Dictionary<string, GroupReport> reports = _groups.Select(static g => g.ToReport())
            .Concat(_tlsGroups.Select(static g => g.ToReport()))
            .ToDictionary(static r => r.Name);
        return new LoadReport(
            [.. _plan.Groups.Select(g => reports[g.Name])], Environment.CpuUsage.TotalTime.TotalSeconds, _clock.Seconds.Sum());
    }
}
