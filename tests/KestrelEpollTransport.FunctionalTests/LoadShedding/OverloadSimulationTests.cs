using KestrelEpollTransport.LoadShedding;

namespace KestrelEpollTransport.FunctionalTests.LoadShedding;

/// <summary>
/// What the control makes of servers and loads, in simulated time: as much is served as can be, hardly later than on a day when all is well, and
/// nothing is refused on such a day.
/// </summary>
public class OverloadSimulationTests
{
    private const double SecondMs = 1_000;
    private const double RefusalMs = 0.02;

    /// <summary>Handlers that compute for 200 µs on a loop, and that block for 5 ms on 16 workers.</summary>
    public static TheoryData<bool, double> Overloads => new()
    {
        { true, 1.2 }, { true, 1.5 }, { true, 3 }, { false, 1.2 }, { false, 1.5 }, { false, 3 }, { false, 10 },
    };

    [Theory, MemberData(nameof(Overloads))]
    public void Overload_HasTheServerDoWhatItCan_HardlyLaterThanAt80Percent_AndIsOverASecondAfter(bool computes, double times)
    {
        double normalP99 = Normal(computes);
        SimulatedLoad load = New(computes, new OverloadControl(Ticks(5), Ticks(100)), out double capacity, out int threads);
        load.Run(times * capacity, 0, 5 * SecondMs);
        double refusing = load.RefusingMs / threads / (5 * SecondMs);
        int refused = load.Refused;
        load.Run(0.8 * capacity, 5 * SecondMs, 9 * SecondMs);

        Assert.InRange(load.Rate(SecondMs, 5 * SecondMs) / (capacity * (1 - refusing)), 0.9, 1.02);

        // Near the edge the queue empties by chance, and for an interval more may wait.
        Assert.InRange(load.P99(SecondMs, 5 * SecondMs), 0, (times < 1.5 ? 3 : 2) * normalP99);
        Assert.True(refused > 0.1 * (times - 1) * 5 * SecondMs * capacity, $"{refused} were refused.");

        // Handlers that compute come again and again to a queue of other lengths: not the same p99 twice.
        Assert.InRange(load.P99(6 * SecondMs, 9 * SecondMs), 0, 1.5 * normalP99);
        Assert.InRange(load.Refused - refused, 0, 0.5 * SecondMs * capacity);
    }

    [Theory]
    [InlineData(true), InlineData(false)]
    public void NormalLoad_IsServed(bool computes)
    {
        SimulatedLoad load = New(computes, new OverloadControl(Ticks(5), Ticks(100)), out double capacity, out _);
        load.Run(0.8 * capacity, 0, 10 * SecondMs);

        Assert.Equal(0, load.Refused);
    }

    [Fact]
    public void NormalLoad_OnAMachineThatHesitates_IsServed()
    {
        // Every 2.7 s nothing goes on for 50 ms. What comes meanwhile takes 150 ms more to be worked off.
        int begun = 0;
        var load = new SimulatedLoad(threads: 1, _ => ++begun % 10_000 == 0 ? 50 : 0.2, RefusalMs, isLoop: true)
        {
            Control = new OverloadControl(Ticks(5), Ticks(100)),
        };
        load.Run(0.75 / 0.2, 0, 60 * SecondMs);

        Assert.True(load.P99(0, 60 * SecondMs) > 20, "It hardly hesitated.");
        Assert.Equal(0, load.Refused);
    }

    [Fact]
    public void Handlers_ThatTakeFarLongerThanTheTarget_KeepTheirThreadsBusyAllTheSame()
    {
        // Whoever comes has to wait for one of them to end: nobody is served within the target, and still they are to be served.
        var load = new SimulatedLoad(threads: 4, static _ => 50, RefusalMs, isLoop: false) { Control = new OverloadControl(Ticks(5), Ticks(100)) };
        double capacity = 4 / 50.0;
        load.Run(2 * capacity, 0, 20 * SecondMs);

        Assert.InRange(load.Rate(SecondMs, 20 * SecondMs) / capacity, 0.85, 1.02);
        Assert.InRange(load.P99(SecondMs, 20 * SecondMs), 50, 250);
    }

    private static double Normal(bool computes)
    {
        SimulatedLoad load = New(computes, control: null, out double capacity, out _);
        load.Run(0.8 * capacity, 0, 10 * SecondMs);
        return load.P99(SecondMs, 10 * SecondMs);
    }

    private static SimulatedLoad New(bool computes, OverloadControl? control, out double capacity, out int threads)
    {
        threads = computes ? 2 : 16;
        double meanMs = computes ? 0.215 : 5.1;
        capacity = threads / meanMs;

        // What computes varies as on a machine that does other things too; a sleep does not.
        Func<Random, double> serviceMs = computes ? static random => 0.015 - (0.2 * Math.Log(1 - random.NextDouble())) : _ => meanMs;
        return new SimulatedLoad(threads, serviceMs, RefusalMs, isLoop: computes) { Control = control };
    }

    private static long Ticks(double milliseconds) => TimeSpan.FromMilliseconds(milliseconds).Ticks;
}
