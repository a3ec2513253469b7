using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests.Loops;

public class SharedPassTests
{
    /// <remarks>
    /// More threads than processors: some lose theirs between an event and its compare-exchange, and come back when the same place of another
    /// pass is next.
    /// </remarks>
    [Fact]
    public void Events_TakenByMoreThreadsThanProcessors_AreTakenOnceEach()
    {
        const int Passes = 1_000_000;
        SharedPass pass = new();
        int[] taken = new int[Passes];
        int published = 0;
        int polls = 0;
        Thread[] threads = [.. Enumerable.Range(0, Environment.ProcessorCount + 2).Select(_ => new Thread(Drive) { IsBackground = true })];
        Array.ForEach(threads, static thread => thread.Start());

        Assert.All(threads, static thread => Assert.True(thread.Join(Timeouts.Limit)));
        Assert.Equal(-1, Array.FindIndex(taken, static times => times != 1));

        void Drive()
        {
            while (Volatile.Read(ref published) < Passes || !pass.IsOver)
            {
                if (pass.TryTake(out PollEvent ready, out _, out _))
                {
                    Interlocked.Increment(ref taken[ready.Token.Value]);
                }
                else if (Interlocked.Exchange(ref polls, 1) == 0)
                {
                    if (pass.IsOver && published < Passes)
                    {
                        pass.Events[0] = new PollEvent(new Token((ulong)published), Readiness.Readable);
                        published++;
                        pass.Publish(1);
                    }

                    Volatile.Write(ref polls, 0);
                }
            }
        }
    }
}
