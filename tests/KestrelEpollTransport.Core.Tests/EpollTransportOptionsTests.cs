using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.Tests;

public class EpollTransportOptionsTests
{
    [Fact]
    public void Defaults_AreThoseOfTheStockTransportWhereTheMeaningIsTheSame()
    {
        EpollTransportOptions options = new();

        Assert.Equal(512, options.Backlog);
        Assert.True(options.NoDelay);
        Assert.Equal(1024 * 1024, options.MaxReadBufferSize);
        Assert.Equal(64 * 1024, options.MaxWriteBufferSize);
        Assert.Equal(Math.Min(Environment.ProcessorCount, 64), options.LoopCount);
        Assert.Equal(ApplicationScheduling.Adaptive, options.Scheduling);
        Assert.Equal(EpollTransportOptions.CreateDefaultBoundListenSocket, options.CreateBoundListenSocket);
    }

    [Theory]
    [InlineData(nameof(EpollTransportOptions.LoopCount), "0")]
    [InlineData(nameof(EpollTransportOptions.LoopCount), "65")]
    [InlineData(nameof(EpollTransportOptions.Backlog), "0")]
    [InlineData(nameof(EpollTransportOptions.MaxReadBufferSize), "-1")]
    [InlineData(nameof(EpollTransportOptions.MaxWriteBufferSize), "-2")]
    [InlineData(nameof(EpollTransportOptions.Scheduling), "17")]
    public void Factory_OptionOutsideItsLimits_IsRefusedByNameAndValue(string option, string value)
    {
        EpollTransportOptions options = new();
        int number = int.Parse(value, System.Globalization.CultureInfo.InvariantCulture);
        switch (option)
        {
            case nameof(EpollTransportOptions.LoopCount):
                options.LoopCount = number;
                break;
            case nameof(EpollTransportOptions.Backlog):
                options.Backlog = number;
                break;
            case nameof(EpollTransportOptions.MaxReadBufferSize):
                options.MaxReadBufferSize = number;
                break;
            case nameof(EpollTransportOptions.MaxWriteBufferSize):
                options.MaxWriteBufferSize = number;
                break;
            default:
                options.Scheduling = (ApplicationScheduling)number;
                break;
        }

        ArgumentException error = Assert.ThrowsAny<ArgumentException>(
            () => new EpollTransportFactory(Options.Create(options), NullLoggerFactory.Instance).Dispose());

        Assert.Contains(option, error.Message, StringComparison.Ordinal);
        Assert.Contains(value, error.Message, StringComparison.Ordinal);
    }
}
