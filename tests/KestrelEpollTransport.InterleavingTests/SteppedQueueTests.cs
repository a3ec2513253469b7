using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Simulation;

/// <summary>Work that comes while workers leave, within a few microseconds; no watch looks.</summary>
public class SteppedQueueTests
{
    private const long Ms = 1_000_000;

    [Theory]
    [InlineData(QueueTrouble.None)]
    [InlineData(QueueTrouble.Refusals)]
    [InlineData(QueueTrouble.OneMore)]
    [InlineData(QueueTrouble.End)]
    internal void Work_WhateverHappensAtOnce_IsRunOnceAndWaitsForNoLook(QueueTrouble trouble) =>
        Schedules.Run(seed => new Schedule(seed, trouble).Run());

    internal enum QueueTrouble
    {
        None,

        /// <summary>The system has no thread.</summary>
        Refusals,

        /// <summary>As where all were stuck, one more may be busy.</summary>
        OneMore,

        /// <summary>The workers end.</summary>
        End,
    }

    private sealed class Schedule
    {
        private readonly SimMachine _machine;
        private readonly QueueTrouble _trouble;
        private readonly Workers _workers;
        private readonly int _maxBusy;
        private readonly int _maxLong;
        private int _inLong;

        public Schedule(int seed, QueueTrouble trouble)
        {
            _machine = new SimMachine(seed, processors: 3) { Interleaving = 0.3, Steps = 0.3, Preemption = 0.02 };
            _trouble = trouble;
            _maxBusy = 1 + (seed % 3);
            _maxLong = 1 + (seed / 2 % 2);
            _workers = new Workers(_maxBusy, loopCount: 1, _maxLong)
            {
                CreateSignal = () => new SimSignal(_machine),
                StartThread = StartThread,
                QueueToPool = work => _machine.Start(work.Execute),
                IdleTimeout = TimeSpan.FromMicroseconds(_machine.Next(2) == 0 ? _machine.Next(3) : 1_000_000),
            };
        }

        public void Run()
        {
            using SimMachine machine = _machine;
            Work[] works = [.. Enumerable.Range(0, 6).Select(i => new Work(this, blocks: i == 0))];
            foreach (Work work in works)
            {
                machine.At(Moment(), () => machine.Start(() => _workers.OffLoop.Enqueue(work, work.Lane)));
            }

            if (_trouble == QueueTrouble.OneMore)
            {
                machine.At(Moment(), () => machine.Start(() => _workers.TryCall(isOneMore: true)));
            }

            if (_trouble == QueueTrouble.End)
            {
                machine.At(Moment(), () => machine.Start(_workers.Dispose));
            }

            machine.Run(50 * Ms);

            // One of them blocks until later: no reason to wait for it, but where others may not be called, or there are none.
            Assert.True(
                !_workers.OffLoop.HasMore || _workers.IsExhausted || (_trouble == QueueTrouble.Refusals && _workers.Busy == _workers.Count),
                "Work waits while a worker might be called.");
            machine.Run(200 * Ms);

            Assert.All(works, static work => Assert.Equal(1, work.Ran));
            Assert.Equal(0, _workers.OffLoop.Waiting);
            Assert.Equal(0, _workers.Busy);
            Assert.Equal(_maxBusy, _workers.Bound);
            machine.Start(_workers.Dispose);
            machine.Run(3_000 * Ms);
            Assert.Equal(0, machine.Threads);
            Assert.Equal(0, _workers.Count);
        }

        // Few, so that much meets in one of them.
        private long Moment() => _machine.Next(4) * 300;

        private void StartThread(Worker worker)
        {
            if (_trouble == QueueTrouble.Refusals && _machine.Chance(0.5))
            {
                throw new InsufficientMemoryException("The simulated system has no thread.");
            }

            _machine.Start(worker.Run);
        }

        private sealed class Work(Schedule schedule, bool blocks) : IThreadPoolWorkItem
        {
            public WorkLane Lane { get; } = (WorkLane)schedule._machine.Next(3);

            public int Ran { get; private set; }

            public void Execute()
            {
                Ran++;
                bool isLong = Lane == WorkLane.Long;
                schedule._inLong += isLong ? 1 : 0;
                if (schedule._inLong > schedule._maxLong && schedule._trouble is QueueTrouble.None or QueueTrouble.OneMore)
                {
                    schedule._machine.Fail("more long work runs than may");
                }

                if (blocks)
                {
                    schedule._machine.Sleep(100 * Ms);
                }

                schedule._machine.Compute(schedule._machine.Next(3) * 100);
                schedule._inLong -= isLong ? 1 : 0;
            }
        }
    }
}
