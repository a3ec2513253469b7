using System.Globalization;
using System.Net.Sockets;
using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Posix;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests.KernelOptions;

/// <summary>Which values are taken, what a system lacks, and that nothing that is set is nothing that is called.</summary>
public class EpollSocketOptionsTests
{
    public static TheoryData<string, object> InvalidValues => new()
    {
        { nameof(EpollSocketOptions.KeepAliveTime), TimeSpan.Zero },
        { nameof(EpollSocketOptions.KeepAliveTime), TimeSpan.FromSeconds(32_768) },
        { nameof(EpollSocketOptions.KeepAliveTime), TimeSpan.FromSeconds(1.5) },
        { nameof(EpollSocketOptions.KeepAliveInterval), TimeSpan.FromMilliseconds(999) },
        { nameof(EpollSocketOptions.KeepAliveInterval), TimeSpan.FromSeconds(32_768) },
        { nameof(EpollSocketOptions.KeepAliveRetryCount), 0 },
        { nameof(EpollSocketOptions.KeepAliveRetryCount), 128 },
        { nameof(EpollSocketOptions.UserTimeout), TimeSpan.Zero },
        { nameof(EpollSocketOptions.UserTimeout), TimeSpan.FromMicroseconds(1_500) },
        { nameof(EpollSocketOptions.UserTimeout), TimeSpan.FromMilliseconds(2_147_483_648) },
        { nameof(EpollSocketOptions.NotSentLowWatermark), 0 },
        { nameof(EpollSocketOptions.FastOpenQueueLength), 0 },
        { nameof(EpollSocketOptions.DeferAccept), TimeSpan.Zero },
        { nameof(EpollSocketOptions.DeferAccept), TimeSpan.FromSeconds(3_601) },
        { nameof(EpollSocketOptions.SendBufferSize), 0 },
        { nameof(EpollSocketOptions.ReceiveBufferSize), -1 },
        { nameof(EpollSocketOptions.BusyPoll), TimeSpan.FromTicks(-10) },
        { nameof(EpollSocketOptions.BusyPoll), TimeSpan.FromTicks(15) },
        { nameof(EpollSocketOptions.BusyPoll), TimeSpan.FromSeconds(2) },
        { nameof(EpollSocketOptions.Dscp), -1 },
        { nameof(EpollSocketOptions.Dscp), 64 },
        { nameof(EpollSocketOptions.CongestionControl), "" },
        { nameof(EpollSocketOptions.CongestionControl), "0123456789abcdef" },
        { nameof(EpollSocketOptions.CongestionControl), "re no" },
        { nameof(EpollSocketOptions.UnixFileMode), (UnixFileMode)0b1_000_000_000 },
    };

    public static TheoryData<string, object> ValuesAtTheLimits => new()
    {
        { nameof(EpollSocketOptions.KeepAliveTime), TimeSpan.FromSeconds(32_767) },
        { nameof(EpollSocketOptions.KeepAliveInterval), TimeSpan.FromSeconds(1) },
        { nameof(EpollSocketOptions.KeepAliveRetryCount), 127 },
        { nameof(EpollSocketOptions.UserTimeout), TimeSpan.FromMilliseconds(2_147_483_647) },
        { nameof(EpollSocketOptions.NotSentLowWatermark), 1 },
        { nameof(EpollSocketOptions.DeferAccept), TimeSpan.FromHours(1) },
        { nameof(EpollSocketOptions.BusyPoll), TimeSpan.Zero },
        { nameof(EpollSocketOptions.BusyPoll), TimeSpan.FromSeconds(1) },
        { nameof(EpollSocketOptions.Dscp), 0 },
        { nameof(EpollSocketOptions.Dscp), 63 },
        { nameof(EpollSocketOptions.CongestionControl), "0123456789abcde" },
        { nameof(EpollSocketOptions.UnixFileMode), (UnixFileMode)0 },
        { nameof(EpollSocketOptions.UnixFileMode), (UnixFileMode)0b111_111_111 },
    };

    [Theory]
    [MemberData(nameof(InvalidValues))]
    public void Transport_WithAnInvalidOption_NamesOptionAndValue(string option, object value)
    {
        EpollTransportOptions options = new();
        typeof(EpollSocketOptions).GetProperty(option)!.SetValue(options.Sockets, value);

        OptionsValidationException error = Assert.Throws<OptionsValidationException>(
            () => new EpollTransportFactory(Options.Create(options), NullLoggerFactory.Instance));

        string shown = string.Create(CultureInfo.InvariantCulture, $"{(value is string ? $"'{value}'" : value)}");
        Assert.StartsWith($"EpollTransportOptions.Sockets.{option} is {shown} and must be null or ", Assert.Single(error.Failures), StringComparison.Ordinal);
        Assert.Throws<OptionsValidationException>(() => options.Sockets.CreateBoundListenSocket(Net.AnyLoopbackPort));
    }

    [Theory]
    [MemberData(nameof(ValuesAtTheLimits))]
    public void Transport_WithAValueAtItsLimit_IsMade(string option, object value)
    {
        EpollTransportOptions options = new();
        typeof(EpollSocketOptions).GetProperty(option)!.SetValue(options.Sockets, value);

        using EpollTransportFactory factory = new(Options.Create(options), NullLoggerFactory.Instance);

        Assert.True(factory.CanBind(Net.AnyLoopbackPort));
    }

    [Fact]
    public void Defaults_AskForNothing()
    {
        EpollSocketOptions options = new();

        Assert.All(typeof(EpollSocketOptions).GetProperties().Where(property => property.Name != nameof(options.RemoveStaleUnixSocket)), property => Assert.Null(property.GetValue(options)));
        Assert.False(options.RemoveStaleUnixSocket);
        SocketSettings settings = options.ToSettings();
        Assert.Empty(settings.All);
        Assert.False(settings.IsMultipath);
        Assert.Null(AcceptedSetup.Create(settings, configure: null, AddressFamily.InterNetwork));
        Assert.Null(AcceptedSetup.Create(settings, configure: null, AddressFamily.Unix));
    }

    [Fact]
    public void Connections_NeedNothingForWhatIsInherited()
    {
        SocketSettings settings = Everything().ToSettings();

        KernelOption[] tcp = [.. settings.ForAccepted(AddressFamily.InterNetworkV6).Select(setting => setting.Option)];
        KernelOption[] unix = [.. settings.ForAccepted(AddressFamily.Unix).Select(setting => setting.Option)];

        Assert.Equal([KernelOption.TCP_QUICKACK], tcp);
        Assert.Equal([KernelOption.SO_SNDBUF], unix);
    }

    [Fact]
    public void EveryOption_IsOneOfTheSettings()
    {
        string[] notSettings =
        [
            nameof(EpollSocketOptions.Multipath), nameof(EpollSocketOptions.UnixFileMode), nameof(EpollSocketOptions.RemoveStaleUnixSocket), nameof(EpollSocketOptions.ConfigureAcceptedSocket),
        ];
        EpollSocketOptions options = Everything();

        string[] set = [.. options.ToSettings().All.Select(setting => setting.Property).Distinct().Order(StringComparer.Ordinal)];

        Assert.Equal(typeof(EpollSocketOptions).GetProperties().Select(property => property.Name).Except(notSettings).Order(StringComparer.Ordinal), set);
    }

    [Theory]
    [InlineData("macOS")]
    [InlineData("FreeBSD")]
    public void Options_ThatASystemDoesNotHave_AreRefusedByName(string name)
    {
        SystemNumbers system = name == SystemNumbers.Darwin.Name ? SystemNumbers.Darwin : SystemNumbers.FreeBsd;
        string[] everywhere =
        [
            nameof(EpollSocketOptions.KeepAlive), nameof(EpollSocketOptions.KeepAliveTime), nameof(EpollSocketOptions.KeepAliveInterval),
            nameof(EpollSocketOptions.KeepAliveRetryCount), nameof(EpollSocketOptions.SendBufferSize), nameof(EpollSocketOptions.ReceiveBufferSize),
        ];
        int refused = 0;
        foreach (KernelSetting setting in Everything().ToSettings().All)
        {
            SocketSettings one = new([setting]);
            SystemFeatureChecks.Check(one, SystemNumbers.Linux);
            if (everywhere.Contains(setting.Property))
            {
                SystemFeatureChecks.Check(one, system);
                continue;
            }

            AssertRefused(one, $"EpollTransportOptions.Sockets.{setting.Property} needs {setting.Option}, which {name} does not have.");
            refused++;
        }

        Assert.Equal(12, refused);
        AssertRefused(new EpollSocketOptions { Multipath = true }.ToSettings(), $"EpollTransportOptions.Sockets.Multipath needs Multipath TCP, which {name} does not have.");
        AssertRefused(
            new EpollSocketOptions { RemoveStaleUnixSocket = true }.ToSettings(),
            $"EpollTransportOptions.Sockets.RemoveStaleUnixSocket needs a way to tell that nobody serves a unix socket, which {name} does not have.");
        SystemFeatureChecks.Check(new EpollSocketOptions { UnixFileMode = UnixFileMode.UserWrite }.ToSettings(), system);

        void AssertRefused(SocketSettings settings, string message) =>
            Assert.Equal(message, Assert.Throws<PlatformNotSupportedException>(() => SystemFeatureChecks.Check(settings, system)).Message);
    }

    [Fact]
    public async Task Options_ChangedAfterTheTransportWasMade_ChangeNothing()
    {
        EpollTransportOptions options = new() { LoopCount = 1 };
        using EpollTransportFactory factory = new(Options.Create(options), NullLoggerFactory.Instance);
        options.Sockets.Dscp = 1_000;
        options.Sockets.ConfigureAcceptedSocket = _ => throw new InvalidOperationException("Set too late.");

        await using var listener = await factory.BindAsync(Net.AnyLoopbackPort).OrTimeout();

        using Socket client = await Net.ConnectAsync(listener.EndPoint);
        var accepted = await listener.AcceptAsync().OrTimeout();
        Assert.NotNull(accepted);
        client.Dispose();
        await accepted.DisposeAsync().OrTimeout();
    }

    private static EpollSocketOptions Everything() => new()
    {
        KeepAlive = true,
        KeepAliveTime = TimeSpan.FromSeconds(1),
        KeepAliveInterval = TimeSpan.FromSeconds(1),
        KeepAliveRetryCount = 1,
        UserTimeout = TimeSpan.FromSeconds(1),
        NotSentLowWatermark = 1,
        FastOpenQueueLength = 1,
        DeferAccept = TimeSpan.FromSeconds(1),
        QuickAck = true,
        SendBufferSize = 1,
        ReceiveBufferSize = 1,
        ReusePort = true,
        FreeBind = true,
        Transparent = true,
        BusyPoll = TimeSpan.Zero,
        Dscp = 1,
        CongestionControl = "reno",
    };
}
