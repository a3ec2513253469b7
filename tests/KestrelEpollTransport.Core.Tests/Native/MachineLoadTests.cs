using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Tests.Native;

public class MachineLoadTests
{
    [Theory]
    [InlineData("0.20 0.18 0.12 1/80 11206\n", 1)]
    [InlineData("12.00 8.05 3.99 217/4321 11206\n", 217)]
    [InlineData("", 0)]
    [InlineData("no such thing", 0)]
    [InlineData("a/b", 0)]
    [InlineData("/", 0)]
    public void Text_TellsHowManyThreadsWantToRun(string text, int runnable) =>
        Assert.Equal(runnable, MachineLoad.CountRunnable(System.Text.Encoding.ASCII.GetBytes(text)));

    [Theory]
    [InlineData("0\n", 1)]
    [InlineData("0-1\n", 2)]
    [InlineData("0-3,8,10-11\n", 7)]
    public void List_TellsHowManyProcessorsThereAre(string list, int count) => Assert.Equal(count, MachineLoad.CountProcessors(list));

    [Fact]
    public async Task MoreThreadsThatComputeThanProcessors_AreACrowd_AsFarAsTheMachineTells()
    {
        using MachineLoad? load = MachineLoad.Open();
        bool ends = false;
        Thread[] threads = [.. Enumerable.Range(0, Environment.ProcessorCount + 1).Select(_ => new Thread(Compute))];
        Array.ForEach(threads, static thread => thread.Start());
        try
        {
            if (load is not null)
            {
                await Timeouts.UntilAsync(() => load.IsCrowded);

                // The answer is for one thread, until the next look.
                load.Relieve();
                await Timeouts.UntilAsync(() => load.IsCrowded);
            }
        }
        finally
        {
            Volatile.Write(ref ends, true);
            Array.ForEach(threads, static thread => thread.Join());
        }

        void Compute()
        {
            while (!Volatile.Read(ref ends))
            {
            }
        }
    }

    [Fact]
    public async Task Disposed_KnowsNothing()
    {
        if (MachineLoad.Open() is { } load)
        {
            load.Dispose();
            await Timeouts.UntilAsync(() => !load.IsCrowded);
        }
    }
}
