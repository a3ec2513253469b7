using System.Diagnostics;
using TransportBench.Client;

namespace KestrelEpollTransport.FunctionalTests.TransportBench;

/// <summary>Requests leave when they are due, and wait from then on. Time is simulated.</summary>
public class OpenLoopTests
{
    private const int Seed = 5;

    [Fact]
    public void PoissonArrivals_Gaps_HaveMeanAndDeviationOfTheExponentialDistribution()
    {
        const int Count = 200_000;
        var arrivals = new PoissonArrivals(perSecond: 10_000, start: 0, Seed);
        double[] gaps = new double[Count];
        long last = 0;
        for (int i = 0; i < Count; i++)
        {
            long due = arrivals.Take();
            gaps[i] = (due - last) / (double)Stopwatch.Frequency;
            last = due;
        }

        double mean = gaps.Average();
        double deviation = Math.Sqrt(gaps.Average(g => (g - mean) * (g - mean)));

        Assert.Equal(1e-4, mean, tolerance: 1e-6);
        Assert.Equal(1, deviation / mean, tolerance: 0.01);

        // Not only these two: a gap is longer than the mean with a probability of 1/e.
        Assert.Equal(1 / Math.E, gaps.Count(g => g > mean) / (double)Count, tolerance: 0.005);
    }

    [Fact]
    public void PoissonArrivals_SameSeed_GivesTheSameArrivals()
    {
        Assert.Equal(Take(Seed), Take(Seed));
        Assert.NotEqual(Take(Seed), Take(Seed + 1));

        static long[] Take(int seed)
        {
            var arrivals = new PoissonArrivals(1000, start: 0, seed);
            return [.. Enumerable.Range(0, 100).Select(_ => arrivals.Take())];
        }
    }

    [Fact]
    public void PoissonArrivals_Next_StaysUntilItIsTaken()
    {
        var arrivals = new PoissonArrivals(1000, start: 7, Seed);
        long next = arrivals.Next;

        Assert.Equal(next, arrivals.Next);
        Assert.Equal(next, arrivals.Take());
        Assert.True(arrivals.Next > next);
        Assert.True(next > 7);
    }

    /// <summary>
    /// Coordinated omission: a server stands still for 100 ms of a second. 4 requests were on their way, and if time began when
    /// they were sent they would be all who had to wait: 0.4 %, and p99 would know nothing of it. 100 were due.
    /// </summary>
    [Fact]
    public void OpenLoop_ServerThatStandsStill_IsWaitedForByAllThatWereDueMeanwhile()
    {
        var simulation = new Simulation(perSecond: 1000, connections: 4, seconds: 1);
        simulation.Stall(from: 0.5, to: 0.6);

        PhaseReport phase = simulation.Run();

        Assert.InRange(phase.P50, 0.09, 0.11);
        Assert.InRange(phase.P99, 80, 100);
        Assert.InRange(phase.Max, 95, 101);
        Assert.InRange(phase.Sending!.Due, 900, 1100);
        Assert.Equal(phase.Sending.Due, phase.Requests + phase.Waiting);

        // The client has nothing to do with it.
        Assert.InRange(phase.Sending.LagMax, 0, 0.001);
        Assert.Equal(0, phase.Sending.Unsent);
    }

    [Fact]
    public void OpenLoop_ServerThatAnswersNobody_IsStillWaitedForAtTheEnd()
    {
        var simulation = new Simulation(perSecond: 1000, connections: 4, seconds: 1);
        simulation.Stall(from: 0, to: 10);

        PhaseReport phase = simulation.Run();

        Assert.Equal(0, phase.Requests);
        Assert.Equal(phase.Sending!.Due, phase.Waiting);
        Assert.InRange(phase.P50, 450, 550);
        Assert.InRange(phase.Max, 980, 1001);

        // It is not the client that is late: no connection is free.
        Assert.Equal(0, phase.Sending.Unsent);
        Assert.InRange(phase.Sending.LagMax, 0, 0.001);
    }

    [Fact]
    public void OpenLoop_LateClient_IsNotTheServersFault()
    {
        var simulation = new Simulation(perSecond: 1000, connections: 1000, seconds: 1);

        // The client's thread sleeps from 0.5 s to 0.7 s, while connections are free.
        simulation.ClientSleeps(from: 0.5, to: 0.7);

        PhaseReport phase = simulation.Run();

        Assert.InRange(phase.Sending!.LagP99, 180, 200);
        Assert.InRange(phase.P99, 180, 200);
    }

    [Fact]
    public void OpenLoop_ClientThatSleepsOverTheEnd_HasNotSentWhatWasDue()
    {
        var simulation = new Simulation(perSecond: 1000, connections: 1000, seconds: 1);
        simulation.ClientSleeps(from: 0.8, to: 1.1);

        PhaseReport phase = simulation.Run();

        Assert.InRange(phase.Sending!.Unsent, 160, 240);
        Assert.InRange(phase.Waiting, phase.Sending.Unsent, phase.Sending.Unsent + 5);
        Assert.Equal(phase.Sending.Due, phase.Requests + phase.Waiting);
    }

    [Fact]
    public void OpenLoop_WhatWaits_LeavesFirstComeFirstServed_OnOneConnectionAtATime()
    {
        var simulation = new Simulation(perSecond: 1000, connections: 4, seconds: 1);
        simulation.Stall(from: 0.2, to: 0.4);

        simulation.Run();

        // A connection that is asked while it waits throws.
        Assert.Equal(simulation.Dues.Order(), simulation.Dues);
        Assert.InRange(simulation.MostAtOnce, 4, 4);
    }

    [Fact]
    public void OpenLoop_CalmServer_HasTheRequestsSpreadOverAllConnections()
    {
        var simulation = new Simulation(perSecond: 1000, connections: 10, seconds: 1);

        simulation.Run();

        Assert.All(simulation.AskedByConnection, static asked => Assert.InRange(asked, 80, 120));
    }

    /// <summary>A server that needs 100 µs for each request, the clock, and a client's loop.</summary>
    private sealed class Simulation
    {
        private const double ServiceSeconds = 0.0001;

        private readonly PhaseClock _clock;
        private readonly Recorder _recorder;
        private readonly OpenLoop _loop;
        private readonly Connection[] _connections;
        private readonly PriorityQueue<Connection, long> _answers = new();
        private (long From, long To) _stall;
        private (long From, long To) _sleep;
        private long _now;

        public Simulation(double perSecond, int connections, double seconds)
        {
            _clock = new PhaseClock([seconds]);
            _recorder = new Recorder(_clock);
            _now = _clock.After(0);
            _loop = new OpenLoop(new PoissonArrivals(perSecond, _now, Seed), _clock, _recorder);
            _connections = [.. Enumerable.Range(0, connections).Select(_ => new Connection(this))];
        }

        public List<long> Dues { get; } = [];

        public int MostAtOnce { get; private set; }

        public IEnumerable<int> AskedByConnection => _connections.Select(static c => c.Asked);

        public void Stall(double from, double to) => _stall = (_clock.After(from), _clock.After(to));

        public void ClientSleeps(double from, double to) => _sleep = (_clock.After(from), _clock.After(to));

        public PhaseReport Run()
        {
            foreach (Connection connection in _connections)
            {
                _loop.OnFree(connection, _now);
            }

            while (_now < _clock.End)
            {
                long next = Math.Min(_loop.SendWhatIsDue(_now), _clock.End);
                _answers.TryPeek(out _, out long answer);
                _now = AwakeAt(_answers.Count > 0 ? Math.Min(next, answer) : next);
                while (_now < _clock.End && _answers.TryPeek(out Connection? connection, out answer) && answer <= _now)
                {
                    _answers.Dequeue();
                    connection.OnAnswer();
                }
            }

            foreach (Connection connection in _connections)
            {
                connection.OnEnd();
            }

            _loop.OnPhaseEnd(0);
            return _recorder.ToReport("simulated").Phases[0];
        }

        private long AwakeAt(long moment) => moment >= _sleep.From && moment < _sleep.To ? _sleep.To : moment;

        private void Answer(Connection connection)
        {
            long begin = _now >= _stall.From && _now < _stall.To ? _stall.To : _now;
            _answers.Enqueue(connection, begin + (long)(ServiceSeconds * Stopwatch.Frequency));
            MostAtOnce = Math.Max(MostAtOnce, _answers.Count);
        }

        private sealed class Connection(Simulation simulation) : IOpenConnection
        {
            private long? _due;

            public int Asked { get; private set; }

            public long Ask(long due)
            {
                Assert.Null(_due);
                _due = due;
                Asked++;
                simulation.Dues.Add(due);
                simulation.Answer(this);
                return simulation._now;
            }

            public void OnAnswer()
            {
                simulation._recorder.OnAnswer(_due!.Value, simulation._now);
                _due = null;
                simulation._loop.OnFree(this, simulation._now);
            }

            public void OnEnd()
            {
                if (_due is { } due)
                {
                    simulation._recorder.OnStillWaiting(due, phase: 0);
                }
            }
        }
    }
}
