using TransportBench.Scenarios;

namespace TransportBench.Running;

/// <summary>How often and how long a scenario does what it does, and how long it is expected to take. In seconds.</summary>
internal sealed class ScenarioTimes
{
    public const int MostWindows = 12;

    /// <summary>Of a window after which a server counts as warm: methods that are compiled, most of them for the second time.</summary>
    public const int MostCompiled = 50;

    private const double LongestWindow = 5;
    private const double Agreement = 0.05;

    // A server of one turn: what is seen there differs by more than the last optimization.
    private const double MostFreshWarmUp = 5;

    // What a turn takes besides the load: starting processes, waiting for the ends of connections.
    private const double TurnOverhead = 0.5;
    private const double StartOverhead = 0.7;

    private readonly int _transports;
    private readonly bool _isFresh;
    private readonly bool _isTraced;

    public ScenarioTimes(Scenario scenario, RunSettings settings)
    {
        _transports = settings.Transports.Count(t => scenario.Includes(t.Kind));
        _isFresh = scenario.NeedsFreshServer;
        _isTraced = IsTraced(scenario, settings);
        Rounds = scenario.RoundsOf(settings.Pairs);
        Launches = _isFresh ? 1 : settings.Launches;
        WarmUp = scenario switch
        {
            { WarmsUp: false } => 0,
            { NeedsFreshServer: true } => Math.Min(MostFreshWarmUp, settings.WarmUpSeconds),
            _ => settings.WarmUpSeconds,
        };
        Ready = StartOverhead + WarmUp;
        Turn = scenario.SecondsOfTurn(settings.Seconds) + TurnOverhead + (_isFresh ? Ready : 0);
    }

    /// <summary>How many turns each transport has in a launch.</summary>
    public int Rounds { get; }

    /// <summary>How often servers are started; not counted where each turn has a server of its own.</summary>
    public int Launches { get; }

    /// <summary>The least that a server is asked before its turns count.</summary>
    public double WarmUp { get; }

    /// <summary>The most.</summary>
    public double MostWarmUp => HasToAgree ? MostWindows * Window : WarmUp;

    /// <summary>What is compared while warming up.</summary>
    public double Window => Math.Min(LongestWindow, WarmUp);

    /// <summary>Whether two windows in succession have to agree; in a short warm-up they would not.</summary>
    public bool HasToAgree => WarmUp >= RunSettings.ThoroughWarmUpSeconds;

    /// <summary>Until a server is started and warm.</summary>
    public double Ready { get; }

    /// <summary>A turn, with all that belongs to it.</summary>
    public double Turn { get; }

    /// <summary>The whole scenario.</summary>
    public double Total => _transports * ((Launches * ((Turn * Rounds) + (_isFresh ? 0 : Ready))) + (_isTraced ? SystemCallCount.Seconds : 0));

    /// <summary>Not where each turn has a server of its own: what is asked there is of several kinds.</summary>
    public static bool IsTraced(Scenario scenario, RunSettings settings) => settings.CountsSystemCalls && !scenario.NeedsFreshServer;

    public static bool Agree(double last, double now) => Math.Abs((now / last) - 1) <= Agreement;
}
