using KestrelEpollTransport.Listening;
using Microsoft.Win32.SafeHandles;

namespace KestrelEpollTransport.Tests.Listening;

public class DescriptorHeadroomTests
{
    [Theory]
    [InlineData(256, 8)]
    [InlineData(1024, 32)]
    [InlineData(1_048_576, 32)]
    public void Includes_TheLastDescriptorsOnly(int limit, int headroom)
    {
        DescriptorHeadroom tested = new() { GetLimit = () => limit };

        Assert.False(tested.Includes(limit - headroom - 1));
        Assert.True(tested.Includes(limit - headroom));
        Assert.True(tested.Includes(limit - 1));
        Assert.False(tested.Includes(limit - headroom - 1));
    }

    [Fact]
    public void Includes_SeesALimitThatWasRaised()
    {
        int limit = 1024;
        DescriptorHeadroom tested = new() { GetLimit = () => limit };
        Assert.True(tested.Includes(1000));

        limit = 2048;

        Assert.False(tested.Includes(1000));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(0)]
    public void Includes_WithoutALimit_Nothing(int limit)
    {
        DescriptorHeadroom tested = new() { GetLimit = () => limit };

        Assert.False(tested.Includes(int.MaxValue - 1));
    }

    [Fact]
    public void IsNext_GoesByTheNumberOfTheNextDescriptor()
    {
        using SafeFileHandle any = File.OpenHandle("/dev/null");
        int descriptor = (int)any.DangerousGetHandle();

        // Below 32, nothing is kept: the next number is above any such limit, and below any such large one.
        Assert.True(new DescriptorHeadroom { GetLimit = () => 1 }.IsNext(descriptor));
        Assert.False(new DescriptorHeadroom { GetLimit = () => 1_000_000 }.IsNext(descriptor));
    }

    [Fact]
    public void GetLimit_IsTheSystems()
    {
        int limit = new DescriptorHeadroom().GetLimit();

        Assert.True(limit > 32);
        string? line = File.Exists("/proc/self/limits") ? File.ReadLines("/proc/self/limits").First(l => l.StartsWith("Max open files", StringComparison.Ordinal)) : null;
        Assert.True(line is null || line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[3] == limit.ToString(System.Globalization.CultureInfo.InvariantCulture), line);
    }
}
