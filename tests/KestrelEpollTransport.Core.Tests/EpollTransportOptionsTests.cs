using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.Tests;

public class EpollTransportOptionsTests
{
    public static TheoryData<string, object> InvalidValues => new()
    {
        { nameof(EpollTransportOptions.LoopCount), 0 },
        { nameof(EpollTransportOptions.LoopCount), -3 },
        { nameof(EpollTransportOptions.LoopCount), EpollTransportOptions.MaxLoopCount + 1 },
        { nameof(EpollTransportOptions.Scheduling), (ApplicationScheduling)17 },
        { nameof(EpollTransportOptions.SpinBeforeWait), TimeSpan.FromTicks(-1) },
        { nameof(EpollTransportOptions.SpinBeforeWait), TimeSpan.FromSeconds(2) },
        { nameof(EpollTransportOptions.HandOffLimit), TimeSpan.Zero },
        { nameof(EpollTransportOptions.HandOffLimit), TimeSpan.FromMinutes(2) },
        { nameof(EpollTransportOptions.DemotionLimit), TimeSpan.Zero },
        { nameof(EpollTransportOptions.DemotionLimit), TimeSpan.FromMinutes(2) },
        { nameof(EpollTransportOptions.MaxWorkers), 0 },
        { nameof(EpollTransportOptions.MaxWorkers), 32_768 },
        { nameof(EpollTransportOptions.Backlog), 0 },
        { nameof(EpollTransportOptions.Backlog), -5 },
        { nameof(EpollTransportOptions.MaxReadBufferSize), -7L },
        { nameof(EpollTransportOptions.MaxWriteBufferSize), -9L },
    };

    public static TheoryData<string, object?> ValuesAtTheLimits => new()
    {
        { nameof(EpollTransportOptions.LoopCount), 1 },
        { nameof(EpollTransportOptions.LoopCount), EpollTransportOptions.MaxLoopCount },
        { nameof(EpollTransportOptions.Scheduling), ApplicationScheduling.UnsafeInline },
        { nameof(EpollTransportOptions.SpinBeforeWait), TimeSpan.Zero },
        { nameof(EpollTransportOptions.SpinBeforeWait), TimeSpan.FromSeconds(1) },
        { nameof(EpollTransportOptions.HandOffLimit), TimeSpan.FromMilliseconds(1) },
        { nameof(EpollTransportOptions.HandOffLimit), TimeSpan.FromMinutes(1) },
        { nameof(EpollTransportOptions.DemotionLimit), TimeSpan.FromMicroseconds(1) },
        { nameof(EpollTransportOptions.DemotionLimit), TimeSpan.FromMinutes(1) },
        { nameof(EpollTransportOptions.MaxWorkers), 1 },
        { nameof(EpollTransportOptions.MaxWorkers), 32_767 },
        { nameof(EpollTransportOptions.Backlog), 1 },
        { nameof(EpollTransportOptions.MaxReadBufferSize), 0L },
        { nameof(EpollTransportOptions.MaxReadBufferSize), null },
        { nameof(EpollTransportOptions.MaxWriteBufferSize), 1L },
        { nameof(EpollTransportOptions.MaxWriteBufferSize), null },
    };

    [Theory]
    [MemberData(nameof(InvalidValues))]
    public void Transport_WithAnInvalidOption_NamesOptionAndValue(string option, object value)
    {
        IOptions<EpollTransportOptions> options = With(option, value);
        Func<IDisposable>[] constructors =
        [
            () => new EpollTransportFactory(options, NullLoggerFactory.Instance),
            () => new EpollConnectionFactory(options, NullLoggerFactory.Instance),
            () => new EpollConnectionContextFactory(options, NullLoggerFactory.Instance),
        ];

        foreach (Func<IDisposable> constructor in constructors)
        {
            OptionsValidationException error = Assert.Throws<OptionsValidationException>(constructor);

            Assert.Equal(typeof(EpollTransportOptions), error.OptionsType);
            Assert.StartsWith(
                string.Create(CultureInfo.InvariantCulture, $"{nameof(EpollTransportOptions)}.{option} is {value} and must be "), Assert.Single(error.Failures), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Transport_WithoutListenSocketFunction_NamesTheOption()
    {
        IOptions<EpollTransportOptions> options = With(nameof(EpollTransportOptions.CreateBoundListenSocket), null);

        OptionsValidationException error = Assert.Throws<OptionsValidationException>(
            () => new EpollTransportFactory(options, NullLoggerFactory.Instance));

        Assert.Equal("EpollTransportOptions.CreateBoundListenSocket is null and must be a function", error.Message);
    }

    [Fact]
    public void Transport_WithSeveralInvalidOptions_NamesThemAllAtOnce()
    {
        EpollTransportOptions options = new() { LoopCount = 0, Backlog = -5, Sockets = { Dscp = 64 } };

        OptionsValidationException error = Assert.Throws<OptionsValidationException>(
            () => new EpollTransportFactory(Options.Create(options), NullLoggerFactory.Instance));

        Assert.Equal(
            [
                "EpollTransportOptions.LoopCount is 0 and must be from 1 to 64",
                "EpollTransportOptions.Backlog is -5 and must be positive",
                "EpollTransportOptions.Sockets.Dscp is 64 and must be null or from 0 to 63",
            ],
            error.Failures.ToArray());
    }

    [Fact]
    public void Describe_HasEveryOption_AndOfTheKernelsThoseThatAreSet()
    {
        EpollTransportOptions options = new() { LoopCount = 3, MaxReadBufferSize = null, Sockets = { KeepAlive = true, UnixFileMode = UnixFileMode.UserRead } };

        string[] described = options.Describe().Split(", ");

        string[] own = [.. typeof(EpollTransportOptions).GetProperties().Select(static property => property.Name).Where(static name => name != nameof(EpollTransportOptions.Sockets))];
        string[] names = [.. described.Select(static option => option.Split('=')[0])];
        Assert.Equal([.. own, "Sockets.KeepAlive", "Sockets.UnixFileMode"], names);
        Assert.Contains("LoopCount=3", described);
        Assert.Contains("MaxReadBufferSize=null", described);
        Assert.Contains("HandOffLimit=00:00:00.0020000", described);
        Assert.Contains("CreateBoundListenSocket=(a function)", described);
        Assert.Contains("Sockets.KeepAlive=True", described);
    }

    [Theory]
    [MemberData(nameof(ValuesAtTheLimits))]
    public void Validate_ValueAtItsLimit_Accepts(string option, object? value) =>
        Assert.Null(Record.Exception(With(option, value).Value.Validate));

    [Fact]
    public void Defaults_AreThoseThatAreDocumented()
    {
        EpollTransportOptions options = new();

        Assert.Equal(Math.Clamp(Environment.ProcessorCount / 8, 1, 64), options.LoopCount);
        Assert.Equal(ApplicationScheduling.Adaptive, options.Scheduling);
        Assert.Equal(512, options.Backlog);
        Assert.True(options.NoDelay);
        Assert.Equal(1_048_576, options.MaxReadBufferSize);
        Assert.Equal(65_536, options.MaxWriteBufferSize);
        Assert.Equal(EpollTransportOptions.CreateDefaultBoundListenSocket, options.CreateBoundListenSocket);
        Assert.Null(Record.Exception(options.Validate));
    }

    private static IOptions<EpollTransportOptions> With(string option, object? value)
    {
        EpollTransportOptions options = new();
        typeof(EpollTransportOptions).GetProperty(option)!.SetValue(options, value);
        return Options.Create(options);
    }

    [Fact]
    public async Task Options_ChangedAfterTheTransportWasMade_ChangeNothing()
    {
        EpollTransportOptions options = new() { LoopCount = 1 };
        using EpollTransportFactory factory = new(Options.Create(options), NullLoggerFactory.Instance);
        options.CreateBoundListenSocket = null!;
        options.Backlog = -1;
        options.NoDelay = false;

        IConnectionListener listener = await factory.BindAsync(new IPEndPoint(IPAddress.Loopback, 0)).OrTimeout();

        using Socket client = Wire.Tcp.ConnectTo(listener.EndPoint);
        ConnectionContext? accepted = await listener.AcceptAsync().OrTimeout();
        Assert.NotNull(accepted);
        Assert.True(accepted.Features.Get<IConnectionSocketFeature>()!.Socket.NoDelay);
        accepted.Abort();
        await listener.UnbindAsync().OrTimeout();
    }
}
