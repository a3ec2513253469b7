using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Polling;
using Microsoft.Extensions.Logging.Abstractions;

namespace KestrelEpollTransport.Tests.Simulation;

/// <summary>One loop, and all that happens to it within a few microseconds: events, posts, calls, hand-offs, a stop, a broken poller.</summary>
public class SteppedLoopTests
{
    private const long Ms = 1_000_000;

    [Theory]
    [InlineData(LoopTrouble.None)]
    [InlineData(LoopTrouble.HandOffs)]
    [InlineData(LoopTrouble.Stop)]
    [InlineData(LoopTrouble.Stop | LoopTrouble.HandOffs)]
    [InlineData(LoopTrouble.BrokenPoller)]
    [InlineData(LoopTrouble.BrokenDriver)]
    [InlineData(LoopTrouble.BrokenDriver | LoopTrouble.HandOffs)]
    internal void Loop_WhateverHappensAtOnce_DoesEverythingOnceAndEndsOnce(LoopTrouble trouble) =>
        Schedules.Run(seed => new Schedule(seed, trouble).Run());

    [Flags]
    internal enum LoopTrouble
    {
        None = 0,

        /// <summary>Seats are taken from threads that are in dispatches.</summary>
        HandOffs = 1,

        /// <summary>The loop is stopped.</summary>
        Stop = 2,

        /// <summary>The poller throws.</summary>
        BrokenPoller = 4,

        /// <summary>A driver throws while another one is in the poller.</summary>
        BrokenDriver = 8,
    }

    private sealed class Schedule
    {
        private readonly SimMachine _machine;
        private readonly LoopTrouble _trouble;
        private readonly SimPoller _poller;
        private readonly EventLoop _loop;
        private readonly List<Item> _taken = [];
        private readonly List<Item> _lost = [];
        private bool _refuses;
        private bool _hasThrown;

        public Schedule(int seed, LoopTrouble trouble)
        {
            _machine = new SimMachine(seed, processors: 2 + (seed % 3)) { Interleaving = 0.3, Steps = 0.3, Preemption = 0.02 };
            _trouble = trouble;
            _poller = new SimPoller(_machine, waitNs: 0, eventNs: 0);
            _loop = new EventLoop(0, _poller, NullLogger.Instance, Drive, new LoopSettings
            {
                Drivers = 2,
                CallAfter = TimeSpan.Zero,
                Spin = TimeSpan.Zero,
                Machine = new SimLoad(_machine),
                OnAwake = trouble.HasFlag(LoopTrouble.BrokenDriver) ? ThrowOnce : null,
                Time = _machine,
            });
        }

        private bool EndsEarly => (_trouble & (LoopTrouble.Stop | LoopTrouble.BrokenPoller | LoopTrouble.BrokenDriver)) != 0 && (_hasThrown || !_trouble.HasFlag(LoopTrouble.BrokenDriver));

        public void Run()
        {
            using SimMachine machine = _machine;
            Drive(_loop.Seats[0]);
            _refuses = machine.Chance(0.3);
            Item[] events = [.. Enumerable.Range(0, 6).Select(i => new Item(this, i))];
            Item[] posts = [.. Enumerable.Range(6, 4).Select(i => new Item(this, i))];
            foreach (Item item in events)
            {
                _loop.Register(item, descriptor: 0, Interest.Read);
                machine.At(Moment(), () => _poller.BecomeReady(item.Token));
            }

            foreach (Item item in posts)
            {
                bool isTimer = machine.Chance(0.2);
                machine.At(Moment(), () => machine.Start(() => Post(item, isTimer)));
            }

            machine.At(Moment(), () => machine.Start(() => _loop.TryCall(isNeeded: machine.Chance(0.5))));
            if (_trouble.HasFlag(LoopTrouble.HandOffs))
            {
                machine.At(Moment(), () => machine.Start(HandOver));
            }

            Item[] late = [.. Enumerable.Range(10, 3).Select(i => new Item(this, i))];
            if (_trouble.HasFlag(LoopTrouble.BrokenPoller))
            {
                long moment = Moment();
                machine.At(moment, () =>
                {
                    _poller.Failure = new InvalidOperationException("On purpose.");
                    _poller.BecomeReady(Token.Wake);
                });
                Array.ForEach(late, item => machine.At(moment, () => machine.Start(() => item.IsRefused = _loop.Register(item, 0, Interest.Read).IsError)));
            }

            if (_trouble.HasFlag(LoopTrouble.Stop))
            {
                machine.At(Moment(), () => machine.Start(_loop.Stop));
            }

            machine.Run(100 * Ms);

            Assert.All(events, item => Assert.InRange(item.Ran, EndsEarly ? 0 : 1, 1));
            Assert.All(posts, static item => Assert.Equal(1, item.Ran));
            if (!EndsEarly)
            {
                Assert.True(_loop.Crew is { IsPolled: true, IsAtRest: true }, "It does not wait for what comes next.");
                Assert.False(_loop.Crew.IsCalled);
                machine.Start(_loop.Stop);
                machine.Run(200 * Ms);
            }

            if (_trouble.HasFlag(LoopTrouble.BrokenPoller))
            {
                Assert.All(late, static item => Assert.True(item.IsRefused || item.IsFaulted, "A handler waits for a loop that has ended."));
            }

            Assert.Equal(0, machine.Threads);
            Assert.True(_loop.HasEnded);
            Assert.False(_loop.Crew.IsPolled);
            Assert.Equal(0, _loop.Crew.Count);
            Assert.Equal(_lost.OrderBy(static item => item.Index), _taken.OrderBy(static item => item.Index));
        }

        // Few, so that much meets in one of them; some for threads that lost their processor before.
        private long Moment() => _machine.Chance(0.8) ? _machine.Next(4) * 300 : _machine.Next(3_000_000);

        private void Post(Item item, bool isTimer)
        {
            if (isTimer)
            {
                _loop.Schedule(item, delayMs: 0);
            }
            else
            {
                _loop.Post(item);
            }
        }

        private void Drive(Seat seat)
        {
            if (_refuses && _machine.Chance(0.2))
            {
                throw new InsufficientMemoryException("The simulated system has no thread.");
            }

            _machine.Start(() =>
            {
                Item.Last = null;
                if (!_loop.OnDrive(seat, ThreadBaseline.Capture()))
                {
                    _lost.Add(Item.Last!);
                }
            });
        }

        private void ThrowOnce()
        {
            if (!_hasThrown && _poller.IsInside)
            {
                _hasThrown = true;
                throw new InvalidOperationException("On purpose.");
            }
        }

        // As the watch, but that it takes from whoever it sees.
        private void HandOver()
        {
            for (int i = 0; i < 30; i++)
            {
                Seat seat = _loop.Seats[i % _loop.Seats.Length];
                if (seat.CurrentDispatch is not 0 and long dispatch && seat.TryTake(dispatch, out IDispatched? dispatched))
                {
                    _taken.Add((Item)dispatched!);
                    _refuses = false;
                    Drive(seat);
                }

                _machine.Compute(50);
            }
        }

        private sealed class Item(Schedule schedule, int index) : ILoopHandler, ILoopWork
        {
            /// <summary>What the calling thread was in last.</summary>
            [ThreadStatic]
            internal static Item? Last;

            public int Index => index;

            public Token Token { get; set; }

            public int Ran { get; private set; }

            public bool IsRefused { get; set; }

            public bool IsFaulted { get; private set; }

            public void OnReady(Readiness readiness) => OnLoop();

            public void OnLoop()
            {
                Last = this;
                if (!schedule._trouble.HasFlag(LoopTrouble.HandOffs) && !schedule._loop.IsDriver)
                {
                    schedule._machine.Fail("the thread of a seat is not known");
                }

                Execute();
            }

            public void Execute()
            {
                Ran++;
                schedule._machine.Compute(schedule._machine.Next(3) * 100);
            }

            public void OnFault(Exception exception)
            {
                IsFaulted = true;
                if (exception.Message != "On purpose.")
                {
                    schedule._machine.Fail(exception.ToString());
                }
            }

            public void Abandon()
            {
            }
        }
    }
}
