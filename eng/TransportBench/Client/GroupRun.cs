using System.Diagnostics;
using System.Net;

namespace TransportBench.Client;

/// <summary>A group while the load runs: opens its connections when they are due.</summary>
internal sealed class GroupRun
{
    // The same arrivals in each turn, so that turns differ by their servers only.
    private const int Seed = 20;

    private readonly LoadLoop _loop;
    private readonly Stack<LoadConnection> _idle = new();
    private readonly long _start;
    private int _opened;

    public GroupRun(LoadLoop loop, LoadGroup group, PhaseClock clock)
    {
        _loop = loop;
        Group = group;
        Recorder = new Recorder(clock);
        Server = new IPEndPoint(IPAddress.Loopback, group.Port).Serialize();
        _start = clock.After(group.StartAfter);
        OpenLoop = group.RequestsPerSecond > 0
            ? new OpenLoop(new PoissonArrivals(group.RequestsPerSecond, _start, Seed), clock, Recorder, group.StopAfter > 0 ? clock.After(group.StopAfter) : long.MaxValue)
            : null;
    }

    public LoadGroup Group { get; }

    public Recorder Recorder { get; }

    public SocketAddress Server { get; }

    /// <summary>What asks; null: each connection asks again when it was answered.</summary>
    public OpenLoop? OpenLoop { get; }

    /// <summary>Opens and sends what is due by now; returns when the next one is.</summary>
    public long StartWhatIsDue(long now)
    {
        long due;
        while ((due = NextDue()) <= now)
        {
            _opened++;
            Open(due);
        }

        return OpenLoop is null ? due : Math.Min(due, OpenLoop.SendWhatIsDue(now));
    }

    /// <summary>A connection at a rate has had its answer.</summary>
    public void OnIdle(LoadConnection connection) => _idle.Push(connection);

    public GroupReport ToReport() => Recorder.ToReport(Group.Name);

    private long NextDue()
    {
        if (Group.ConnectionsPerSecond > 0)
        {
            return _start + (long)(_opened / Group.ConnectionsPerSecond * Stopwatch.Frequency);
        }

        return _opened < Group.Connections ? _start : long.MaxValue;
    }

    private void Open(long due)
    {
        if (!_idle.TryPop(out LoadConnection? connection))
        {
            connection = new LoadConnection(_loop, this);
        }

        connection.Open(due);
    }
}
