using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Tests.Simulation;

namespace KestrelEpollTransport.Tests.Loops;

public sealed class CallDelayTests : IDisposable
{
    private static readonly TimeSpan s_least = TimeSpan.FromMicroseconds(10);

    private readonly SimMachine _time = new(seed: 1, processors: 1);
    private CallDelay _delay = new(s_least);

    public void Dispose() => _time.Dispose();

    [Fact]
    public void Threads_ThatComeInVain_DoubleItUpToABound()
    {
        Assert.Equal(s_least, _delay.Get(_time));
        _delay.NoteCame(inVain: true, _time);
        Assert.Equal(s_least * 2, _delay.Get(_time));
        for (int i = 0; i < 100; i++)
        {
            _delay.NoteCame(inVain: true, _time);
        }

        Assert.Equal(CallDelay.Most, _delay.Get(_time));
    }

    [Fact]
    public void Thread_ThatFoundAProcessor_HalvesIt()
    {
        _delay.NoteCame(inVain: true, _time);
        _delay.NoteCame(inVain: true, _time);
        _delay.NoteCame(inVain: false, _time);
        Assert.Equal(s_least * 2, _delay.Get(_time));
        _delay.NoteCame(inVain: false, _time);
        _delay.NoteCame(inVain: false, _time);
        Assert.Equal(s_least, _delay.Get(_time));
    }

    [Fact]
    public void Time_HalvesIt()
    {
        _delay.NoteCame(inVain: true, _time);
        _delay.NoteCame(inVain: true, _time);
        Advance(CallDelay.HalvesAfter / 2);
        Assert.Equal(s_least * 4, _delay.Get(_time));
        Advance(CallDelay.HalvesAfter / 2);
        Assert.Equal(s_least * 2, _delay.Get(_time));
        Assert.Equal(s_least * 2, _delay.Get(_time));
        Advance(CallDelay.HalvesAfter);
        Assert.Equal(s_least, _delay.Get(_time));
    }

    [Fact]
    public void LeastThatIsLongerThanTheBound_Stays()
    {
        CallDelay delay = new(CallDelay.Most * 2);
        delay.NoteCame(inVain: true, _time);

        Assert.Equal(CallDelay.Most * 2, delay.Get(_time));
    }

    private void Advance(TimeSpan time) => _time.Run(_time.Now + (long)time.TotalNanoseconds);
}
