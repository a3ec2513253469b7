using TransportBench.Measuring;
using TransportBench.Processes;
using TransportBench.Scenarios;
using TransportBench.Servers;

namespace TransportBench.Running;

/// <summary>
/// One scenario: warms the servers up, and has the transports take turns. Servers that aren't asked are stopped, so that
/// they take no processor time from the one that is.
/// </summary>
internal sealed class ScenarioRun(Scenario scenario, RunSettings settings, Progress progress)
{
    private const double WarmUpWindow = 5;
    private const double Agreement = 0.05;
    private const int MostWindows = 8;

    // A server of one turn: what is seen here differs by more than the last optimization.
    private const double MostFreshWarmUp = 5;

    // What a turn takes besides the load: starting processes, checking, waiting for the ends of connections.
    private const double TurnOverhead = 0.5;
    private const double StartOverhead = 0.7;
    private static readonly TimeSpan s_rest = TimeSpan.FromMilliseconds(200);

    private readonly Transport[] _transports = [.. settings.Transports.Where(scenario.Includes)];

    private readonly Dictionary<Transport, IReadOnlyDictionary<string, double>> _systemCalls = [];
    private readonly int _rounds = scenario.RoundsOf(settings.Pairs);

    private double WarmUpSeconds => scenario switch
    {
        { WarmsUp: false } => 0,
        { NeedsFreshServer: true } => Math.Min(MostFreshWarmUp, settings.WarmUpSeconds),
        _ => settings.WarmUpSeconds,
    };

    /// <summary>How long <see cref="Run"/> is expected to take.</summary>
    public double ExpectedSeconds =>
        _transports.Length * ((TurnSeconds * _rounds) + (scenario.NeedsFreshServer ? 0 : ReadySeconds) + TraceSeconds);

    // Where each turn has a server of its own, what is asked is of several kinds.
    private bool IsTraced => settings.CountsSystemCalls && !scenario.NeedsFreshServer;

    private double TraceSeconds => IsTraced ? SystemCallCount.Seconds : 0;

    private double ReadySeconds => StartOverhead + WarmUpSeconds;

    private double TurnSeconds =>
        scenario.SecondsOfTurn(settings.Seconds) + TurnOverhead + (scenario.NeedsFreshServer ? ReadySeconds : 0);

    public ScenarioResult Run()
    {
        try
        {
            Sample[][] samples = scenario.NeedsFreshServer ? RunOnFreshServers() : RunInTurns();
            return Result(ToContestants(samples), failure: null);
        }
        catch (LoadFailedException e)
        {
            return Result([], e.Message);
        }
    }

    private Sample[][] RunInTurns()
    {
        var servers = new List<ServerProcess>();
        try
        {
            foreach (Transport transport in _transports)
            {
                Say($"warming up {transport.Title}");
                servers.Add(ServerProcess.Start(transport, scenario.Settings));
                WarmUp(servers[^1]);
                servers[^1].Pause();
                progress.Complete(ReadySeconds);
            }

            Sample[][] samples = TakeTurns(contestant => WhileRunning(servers[contestant], RunTurn));
            if (IsTraced)
            {
                servers.ForEach(TraceTurn);
            }

            return samples;
        }
        finally
        {
            servers.ForEach(static server => server.Dispose());
        }
    }

    private Sample[][] RunOnFreshServers() => TakeTurns(contestant =>
    {
        using ServerProcess server = ServerProcess.Start(_transports[contestant], scenario.Settings);
        WarmUp(server);
        return RunTurn(server);
    });

    private Sample[][] TakeTurns(Func<int, Sample> take)
    {
        Sample[][] samples = [.. _transports.Select(_ => new Sample[_rounds])];
        for (int round = 0; round < _rounds; round++)
        {
            foreach (int contestant in TurnOrder.OfRound(round, _transports.Length))
            {
                Say($"round {round + 1} of {_rounds}, {_transports[contestant].Title}");
                samples[contestant][round] = take(contestant);
                progress.Complete(TurnSeconds);
            }
        }

        return samples;
    }

    private void TraceTurn(ServerProcess server)
    {
        Say($"counting system calls, {server.Transport.Title}");
        _systemCalls[server.Transport] = WhileRunning(server, s => SystemCallCount.Take(scenario, s));
        progress.Complete(TraceSeconds);
    }

    private static T WhileRunning<T>(ServerProcess server, Func<ServerProcess, T> ask)
    {
        server.Resume();
        T answer = ask(server);

        // The end of the load's connections belongs to nobody's turn.
        Thread.Sleep(s_rest);
        server.Pause();
        return answer;
    }

    private Sample RunTurn(ServerProcess server)
    {
        try
        {
            Sample sample = scenario.Run(server, settings.Seconds);
            return server.Errors.Length == 0 ? sample : throw new LoadFailedException($"the server logged:\n{server.Errors}");
        }
        catch (LoadFailedException e)
        {
            throw new LoadFailedException($"{server.Transport.Title}: {e.Message}", e);
        }
    }

    /// <summary>For as long as was asked at least, and until two windows in succession agree.</summary>
    private void WarmUp(ServerProcess server)
    {
        double window = Math.Min(WarmUpWindow, WarmUpSeconds);
        double last = 0;
        double spent = 0;
        for (int i = 0; i < MostWindows && WarmUpSeconds > 0; i++)
        {
            double now = scenario.WarmUp(server, window);
            spent += window;
            bool agrees = Math.Abs((now / last) - 1) <= Agreement || WarmUpSeconds < RunSettings.ThoroughWarmUpSeconds;
            if (spent >= WarmUpSeconds && agrees)
            {
                return;
            }

            last = now;
        }
    }

    private void Say(string what) => progress.Say($"{scenario.Name}: {what}");

    private ScenarioResult Result(IReadOnlyList<ContestantResult> contestants, string? failure) => new(
        scenario.Name, scenario.Title, scenario.Figures, [.. scenario.Headlines.Select(static h => h.Key)], contestants, failure);

    private List<ContestantResult> ToContestants(Sample[][] samples)
    {
        var contestants = new List<ContestantResult>();
        for (int i = 0; i < _transports.Length; i++)
        {
            var figures = new Dictionary<string, FigureResult>();
            foreach (Figure figure in scenario.Figures.Where(samples[i][0].Has))
            {
                double[] values = [.. samples[i].Select(s => s[figure])];
                Spread? ratio = scenario.Headlines.Contains(figure)
                    ? Spread.OfRatios(values, [.. samples[0].Select(s => s[figure])])
                    : null;
                figures.Add(figure.Key, new FigureResult(values, Spread.Of(values), ratio));
            }

            contestants.Add(new ContestantResult(_transports[i].Name, _transports[i].Title, figures, _systemCalls.GetValueOrDefault(_transports[i])));
        }

        return contestants;
    }
}
