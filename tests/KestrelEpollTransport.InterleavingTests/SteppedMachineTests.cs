using Xunit.Abstractions;

namespace KestrelEpollTransport.Tests.Simulation;

public class SteppedMachineTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(1, 40)]
    public void RandomMachines_ServeAllThatBecomesReady_AndEnd(int first, int count)
    {
        long began = TimeProvider.System.GetTimestamp();
        long served = 0;
        for (int seed = first; seed < first + count; seed++)
        {
            served += RandomMachine.Run(seed, steps: 0.1);
        }

        output.WriteLine($"{count} schedules, {served} requests, {count / TimeProvider.System.GetElapsedTime(began).TotalSeconds:0} schedules/s");
    }
}
