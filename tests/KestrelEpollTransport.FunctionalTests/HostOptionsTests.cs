using System.Globalization;
using System.Reflection;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Options of a host: from its configuration, and checked before anything starts.</summary>
public class HostOptionsTests
{
    public static TheoryData<string> BoundOptions =>
        [.. Values(typeof(EpollTransportOptions), ""), .. Values(typeof(EpollSocketOptions), nameof(EpollTransportOptions.Sockets) + ":")];

    [Fact]
    public async Task Start_WithWrongOptions_FailsWithAllOfThemBeforeAnythingIsBound()
    {
        bool wasBound = false;

        OptionsValidationException error = await Assert.ThrowsAsync<OptionsValidationException>(() => RunAsync(static _ => { }, builder =>
            builder.WebHost.UseEpollTransport(options =>
            {
                options.LoopCount = 0;
                options.MaxWorkers = -1;
                options.Sockets.Dscp = 99;
                options.CreateBoundListenSocket = endpoint =>
                {
                    wasBound = true;
                    return EpollTransportOptions.CreateDefaultBoundListenSocket(endpoint);
                };
            })));

        Assert.Equal(
            "EpollTransportOptions.LoopCount is 0 and must be from 1 to 64; "
            + "EpollTransportOptions.MaxWorkers is -1 and must be from 1 to 32767; "
            + "EpollTransportOptions.Sockets.Dscp is 99 and must be null or from 0 to 63",
            error.Message);
        Assert.False(wasBound);
    }

    [Fact]
    public async Task Start_WithAWrongDrainingTimeout_FailsByItsName()
    {
        OptionsValidationException error = await Assert.ThrowsAsync<OptionsValidationException>(() => RunAsync(
            static _ => { }, static builder => builder.Services.AddConnectionDraining(static options => options.Timeout = TimeSpan.FromSeconds(-1))));

        Assert.Equal("ConnectionDrainingOptions.Timeout is -00:00:01 and must be from 0 to 1 hour", error.Message);
    }

    [Fact]
    public async Task Start_OfAPlainHostWithWrongOptions_FailsThoughNothingAskedForTheTransport()
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.AddEpollTransport(static options => options.LoopCount = 0);
        using IHost host = builder.Build();

        OptionsValidationException error = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync().OrTimeout());

        Assert.Equal("EpollTransportOptions.LoopCount is 0 and must be from 1 to 64", error.Message);
    }

    [Fact]
    public void ProxyLimitsAndLoadShedding_WithWrongOptions_NameAllOfThem()
    {
        ProxyProtocolOptions proxy = new() { HeaderTimeout = TimeSpan.Zero, MaxHeaderSize = 1 };
        ConnectionLimitsOptions limits = new() { MaxConnectionsPerAddress = 0, IPv4PrefixLength = 33 };
        LoadSheddingOptions shedding = new() { Target = TimeSpan.Zero, RetryAfter = TimeSpan.Zero };

        Assert.Equal(2, Assert.Throws<OptionsValidationException>(proxy.Validate).Failures.Count());
        Assert.Equal(2, Assert.Throws<OptionsValidationException>(limits.Validate).Failures.Count());
        Assert.Equal(2, Assert.Throws<OptionsValidationException>(shedding.Validate).Failures.Count());
    }

    [Fact]
    public async Task UseEpollTransport_WithASectionOfAppsettings_HasItsOptions()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("epoll-options");
        try
        {
            await File.WriteAllTextAsync(Path.Combine(folder.FullName, "appsettings.json"), """
                {
                  "EpollTransport": {
                    "LoopCount": 2,
                    "Scheduling": "ThreadPool",
                    "HandOffLimit": "00:00:00.005",
                    "MaxReadBufferSize": null,
                    "Sockets": { "KeepAlive": true, "UnixFileMode": "UserRead, UserWrite" }
                  }
                }
                """);
            WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ContentRootPath = folder.FullName });
            builder.WebHost.UseEpollTransport(builder.Configuration.GetSection("EpollTransport"));
            builder.WebHost.UseEpollTransport(static options => options.Backlog = 7);
            builder.WebHost.ConfigureKestrel(static kestrel => kestrel.Listen(Net.AnyLoopbackPort));
            await using WebApplication app = builder.Build();
            await app.StartAsync().OrTimeout();

            EpollTransportOptions options = app.Services.GetRequiredService<TransportEngine>().Options;

            Assert.Equal(2, options.LoopCount);
            Assert.Equal(ApplicationScheduling.ThreadPool, options.Scheduling);
            Assert.Equal(TimeSpan.FromMilliseconds(5), options.HandOffLimit);
            Assert.Null(options.MaxReadBufferSize);
            Assert.True(options.Sockets.KeepAlive);
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, options.Sockets.UnixFileMode);
            Assert.Equal(7, options.Backlog);
            await app.StopAsync().OrTimeout();
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Theory]
    [MemberData(nameof(BoundOptions))]
    public void Configuration_OfEachOptionThatIsAValue_SetsIt(string option)
    {
        PropertyInfo property = (option.StartsWith("Sockets:", StringComparison.Ordinal) ? typeof(EpollSocketOptions) : typeof(EpollTransportOptions)).GetProperty(option.Split(':')[^1])!;
        object value = Sample(property);
        using ServiceProvider services = new ServiceCollection()
            .AddEpollTransport(Configuration(option, Convert.ToString(value, CultureInfo.InvariantCulture)!)).BuildServiceProvider();

        EpollTransportOptions options = services.GetRequiredService<IOptions<EpollTransportOptions>>().Value;

        Assert.Equal(value, property.GetValue(property.DeclaringType == typeof(EpollSocketOptions) ? options.Sockets : options));
        Assert.NotEqual(value, property.GetValue(property.DeclaringType == typeof(EpollSocketOptions) ? new EpollSocketOptions() : new EpollTransportOptions()));
    }

    [Fact]
    public async Task Configuration_WithAValueOfTheWrongKind_FailsByItsKey()
    {
        InvalidOperationException error = await Assert.ThrowsAsync<InvalidOperationException>(() => RunAsync(
            static configuration => configuration["EpollTransport:LoopCount"] = "many",
            static builder => builder.WebHost.UseEpollTransport(builder.Configuration.GetSection("EpollTransport"))));

        Assert.Contains("EpollTransport:LoopCount", error.Message, StringComparison.Ordinal);
        Assert.Contains("many", error.Message, StringComparison.Ordinal);
    }

    private static async Task RunAsync(Action<IConfigurationManager> set, Action<WebApplicationBuilder> configure)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(["--hostBuilder:reloadConfigOnChange=false"]);
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(static kestrel => kestrel.Listen(Net.AnyLoopbackPort));
        set(builder.Configuration);
        configure(builder);
        await using WebApplication app = builder.Build();
        await app.StartAsync().OrTimeout();
        await app.StopAsync().OrTimeout();
    }

    private static IConfiguration Configuration(string key, string value) =>
        new ConfigurationBuilder().AddInMemoryCollection([new(key, value)]).Build();

    private static IEnumerable<string> Values(Type options, string prefix) => options.GetProperties()
        .Where(static property => property.SetMethod is { IsPublic: true } && !property.PropertyType.IsAssignableTo(typeof(Delegate)) && property.PropertyType != typeof(ListenerHandover))
        .Select(property => prefix + property.Name);

    /// <summary>A value that is valid, and not the default.</summary>
    private static object Sample(PropertyInfo property) => (Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType) switch
    {
        var type when type == typeof(bool) => property.Name is not (nameof(EpollTransportOptions.Enabled) or nameof(EpollTransportOptions.NoDelay)),
        var type when type == typeof(int) => 17,
        var type when type == typeof(long) => 12_345L,
        var type when type == typeof(string) => "reno",
        var type when type == typeof(TimeSpan) => TimeSpan.FromSeconds(1),
        var type when type == typeof(ApplicationScheduling) => ApplicationScheduling.UnsafeInline,
        var type when type == typeof(UnixFileMode) => UnixFileMode.UserRead | UnixFileMode.GroupWrite,
        var type => throw new NotSupportedException($"{type} has no sample."),
    };
}
