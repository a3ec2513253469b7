using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Tests.Loops;

namespace KestrelEpollTransport.Tests.Simulation;

/// <summary>The loop as it is, which falls asleep while somebody posts; nothing else would wake it.</summary>
public class SimulatedPostTests
{
    private const long Ms = 1_000_000;
    private const int Posts = 20;

    [Theory, InlineData(false), InlineData(true)]
    public void Work_PostedWhileTheLoopFallsAsleep_IsRun(bool isTimer)
    {
        for (int seed = 1; seed <= 200; seed++)
        {
            using SimMachine machine = new(seed, processors: 2) { Interleaving = 0.5 };
            using SimServer server = new(machine, new SimSettings { Drivers = 1, Connections = 1 });
            EventLoop loop = server.Loops[0];
            SimThread? poster = null;
            int ran = 0;
            TestWork work = new(() =>
            {
                // From here on one posts and the other looks for what to do next, at the same time.
                ran++;
                machine.Wake(poster!);
            });
            machine.Start(() =>
            {
                poster = SimThread.Current;
                for (int posted = 1; posted <= Posts; posted++)
                {
                    if (isTimer)
                    {
                        loop.Schedule(work, delayMs: 0);
                    }
                    else
                    {
                        loop.Post(work);
                    }

                    if (ran < posted)
                    {
                        machine.Wait(Timeout.Infinite);
                    }
                }
            });

            machine.Run(100 * Ms);

            Assert.True(ran == Posts, $"Seed {seed}: {ran} of {Posts} were run.");
            machine.Start(server.Stop);
            machine.Run(machine.Now + (20 * Ms));
            machine.Start(server.End);
            machine.Run(machine.Now + (10_000 * Ms));
            Assert.Equal(0, machine.Threads);
        }
    }
}
