using TransportBench.Measuring;
using TransportBench.Processes;
using TransportBench.Scenarios;
using TransportBench.Servers;

namespace TransportBench.Running;

/// <summary>
/// One scenario: warms the servers up, and has the transports take turns. Servers that aren't asked are stopped, so that
/// they take no processor time from the one that is.
/// </summary>
internal sealed class ScenarioRun
{
    private static readonly TimeSpan s_rest = TimeSpan.FromMilliseconds(200);

    private readonly Progress _progress;
    private readonly ScenarioTimes _times;
    private readonly Transport[] _transports;
    private readonly List<Sample>[] _samples;
    private readonly List<string>[] _discarded;
    private readonly string?[] _runtimes;
    private readonly double _seconds;
    private readonly bool _isTraced;
    private readonly Dictionary<Transport, IReadOnlyDictionary<string, double>> _systemCalls = [];
    private Scenario _scenario;
    private int _rounds;

    public ScenarioRun(Scenario scenario, RunSettings settings, Progress progress)
    {
        _scenario = scenario;
        _progress = progress;
        _times = new ScenarioTimes(scenario, settings);
        _transports = [.. settings.Transports.Where(t => scenario.Includes(t.Kind))];
        _samples = [.. _transports.Select(static _ => new List<Sample>())];
        _discarded = [.. _transports.Select(static _ => new List<string>())];
        _runtimes = new string?[_transports.Length];
        _seconds = settings.Seconds;
        _isTraced = ScenarioTimes.IsTraced(scenario, settings);
    }

    public ScenarioResult Run()
    {
        double doneBefore = _progress.Done;
        try
        {
            if (_scenario.NeedsFreshServer)
            {
                RunOnFreshServers();
            }
            else
            {
                for (int launch = 0; launch < _times.Launches; launch++)
                {
                    RunInTurns(isLast: launch == _times.Launches - 1);
                }
            }

            Sample[][] samples = [.. _samples.Select(static s => s.ToArray())];
            return samples[0].Length > 0
                ? ScenarioResult.Of(_scenario, _transports, samples, _discarded, _systemCalls, _runtimes)
                : throw new LoadFailedException($"the client was the limit in every round: {_discarded.SelectMany(static d => d).Last()}");
        }
        catch (LoadFailedException e)
        {
            return ScenarioResult.Failed(_scenario, e.Message);
        }
        finally
        {
            // What a failure leaves undone takes no time any more.
            _progress.Complete(_times.Total - (_progress.Done - doneBefore));
        }
    }

    // A server is in a mode of its own at times, so that more rounds on it say no more than the first ones.
    private void RunInTurns(bool isLast)
    {
        var servers = new List<ServerProcess>();
        try
        {
            for (int contestant = 0; contestant < _transports.Length; contestant++)
            {
                Say($"warming up {_transports[contestant].Title}");
                servers.Add(StartServer(contestant));
                WarmUp(servers[^1]);
                servers[^1].Pause();
                _progress.Complete(_times.Ready);
            }

            if (!_scenario.IsCalibrated)
            {
                Say("measuring what Sockets can serve");
                _scenario = WhileRunning(servers[0], server => Ask(server, () => _scenario.Calibrate(server, _seconds)));
            }

            TakeTurns(contestant => WhileRunning(servers[contestant], server => RunTurn(server, contestant)));
            if (_isTraced && isLast)
            {
                servers.ForEach(TraceTurn);
            }
        }
        finally
        {
            servers.ForEach(static server => server.Dispose());
        }
    }

    private void RunOnFreshServers() => TakeTurns(contestant =>
    {
        using ServerProcess server = StartServer(contestant);
        WarmUp(server);
        return RunTurn(server, contestant);
    });

    private ServerProcess StartServer(int contestant)
    {
        ServerProcess server = ServerProcess.Start(_transports[contestant], _scenario.Settings);
        _runtimes[contestant] = server.Endpoints.Runtime;
        return server;
    }

    private void TakeTurns(Func<int, Sample?> take)
    {
        for (int i = 0; i < _times.Rounds; i++)
        {
            TakeRound(_rounds++, take);
        }
    }

    // A round counts as a whole or not at all: ratios are of one round.
    private void TakeRound(int round, Func<int, Sample?> take)
    {
        var samples = new Sample[_transports.Length];
        foreach (int contestant in TurnOrder.OfRound(round, _transports.Length))
        {
            Say($"round {round + 1} of {_times.Rounds * _times.Launches}, {_transports[contestant].Title}");
            if (take(contestant) is not { } sample)
            {
                return;
            }

            samples[contestant] = sample;
            _progress.Complete(_times.Turn);
        }

        for (int i = 0; i < samples.Length; i++)
        {
            _samples[i].Add(samples[i]);
        }
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

    private Sample? RunTurn(ServerProcess server, int contestant) =>
        Attempts.Take(() => Ask(server, () => _scenario.Run(server, _seconds)), _discarded[contestant]);

    private void TraceTurn(ServerProcess server)
    {
        Say($"counting system calls, {server.Transport.Title}");
        _systemCalls[server.Transport] = WhileRunning(server, s => Ask(s, () => SystemCallCount.Take(_scenario, s)));
        _progress.Complete(SystemCallCount.Seconds);
    }

    /// <summary>
    /// For as long as was asked at least, and until two windows in succession agree and hardly anything is compiled any more. Pinned
    /// to one processor, code runs instrumented for 20 s and more, and windows agree in that as well.
    /// </summary>
    private void WarmUp(ServerProcess server)
    {
        double last = 0;
        double spent = 0;
        long compiled = server.GetState().CompiledMethods;
        for (int i = 0; i < ScenarioTimes.MostWindows && spent < _times.MostWarmUp; i++)
        {
            double now = Ask(server, () => _scenario.WarmUp(server, _times.Window));
            long compiledNow = server.GetState().CompiledMethods;
            spent += _times.Window;
            bool isSteady = ScenarioTimes.Agree(last, now) && compiledNow - compiled <= ScenarioTimes.MostCompiled;
            if (spent >= _times.WarmUp && (!_times.HasToAgree || isSteady))
            {
                return;
            }

            last = now;
            compiled = compiledNow;
        }
    }

    /// <summary>A failure says whose it is, and so does what a server has logged.</summary>
    private static T Ask<T>(ServerProcess server, Func<T> ask)
    {
        try
        {
            T answer = ask();
            return server.Errors.Length == 0 ? answer : throw new LoadFailedException($"the server logged:\n{server.Errors}");
        }
        catch (LoadFailedException e)
        {
            throw new LoadFailedException($"{server.Transport.Title}: {e.Message}", e);
        }
    }

    private void Say(string what) => _progress.Say($"{_scenario.Name}: {what}");
}
