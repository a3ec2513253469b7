using System.Buffers;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using KestrelEpollTransport.ConnectionLimits;
using KestrelEpollTransport.FunctionalTests.ProxyProtocol;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests.ConnectionLimits;

/// <summary>Connections of a whole server that grow old, stay idle, or come too many from one address.</summary>
[Collection(RunsAlone.Name)]
public class ConnectionLimitsTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    private static readonly TimeSpan s_age = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan s_time = TimeSpan.FromSeconds(1);

    [Theory, AllTransports]
    public async Task Age_OfAnHttpConnection_IsToldInTheNextAnswer(TransportKind kind)
    {
        var time = new ManualTime();
        await using KestrelHost host = await StartHttpAsync(kind, LimitAge, time);
        using Socket client = await host.ConnectAsync();
        Assert.DoesNotContain("close", await AskAsync(client), StringComparison.OrdinalIgnoreCase);
        time.Advance(s_age - TimeSpan.FromSeconds(1));
        Assert.DoesNotContain("close", await AskAsync(client), StringComparison.OrdinalIgnoreCase);

        time.Advance(TimeSpan.FromSeconds(2));

        Assert.Contains("Connection: close", await AskAsync(client), StringComparison.OrdinalIgnoreCase);
        Assert.Empty(await client.ReceiveToEndAsync());
    }

    [Theory, AllTransports]
    public async Task Age_OfAnHttpConnectionThatIsIdle_EndsItALittleLater(TransportKind kind)
    {
        var time = new ManualTime();
        await using KestrelHost host = await StartHttpAsync(kind, LimitAge, time);
        using var metrics = new MetricsRecorder(host.App.Services);
        using Socket client = await host.ConnectAsync();
        Assert.DoesNotContain("close", await AskAsync(client), StringComparison.OrdinalIgnoreCase);

        time.Advance(s_age * 1.06);

        Assert.Empty(await client.ReceiveToEndAsync());
        Assert.Equal((1, 0), (metrics["connections.ended", "age"], metrics["connections.ended", "idle"]));
    }

    [Theory]
    [AllTransports(false, false), AllTransports(false, true)]
    [AllTransports(true, false), AllTransports(true, true)]
    public async Task Age_OfATlsConnection_IsToldInTheNextAnswer(TransportKind kind, bool http2, bool isInFront)
    {
        var time = new ManualTime();
        await using KestrelHost host = await StartTlsAsync(kind, time, isInFront);
        using HttpClient client = host.CreateClient(http2 ? HttpVersion.Version20 : HttpVersion.Version11);
        Assert.Equal("hello", await client.GetStringAsync(host.Address).OrTimeout());

        time.Advance(s_age * 1.01);

        using HttpResponseMessage response = await client.GetAsync(host.Address).OrTimeout();
        Assert.Equal("hello", await response.Content.ReadAsStringAsync().OrTimeout());
        Assert.Equal(http2 ? null : true, response.Headers.ConnectionClose);

        // With HTTP/2 it is GOAWAY, which Kestrel may send behind further answers. Either way there is a second connection then.
        int connections;
        long began = Stopwatch.GetTimestamp();
        do
        {
            Assert.Equal("hello", await client.GetStringAsync(host.Address).OrTimeout());
            connections = host.Logs.All().Count(static e => e.Category == "Microsoft.AspNetCore.Server.Kestrel.Connections" && e.Message.EndsWith(" accepted.", StringComparison.Ordinal));
        }
        while (http2 && connections < 2 && Stopwatch.GetElapsedTime(began) < Timeouts.Limit);

        Assert.Equal(2, connections);
    }

    /// <remarks>An HttpClient would send the request again on another connection, and a test would not see it lost.</remarks>
    [Theory]
    [AllTransports(false), AllTransports(true)]
    public async Task Age_OfTlsConnections_LosesNoRequest(TransportKind kind, bool isInFront)
    {
        var time = new ManualTime();
        await using KestrelHost host = await StartTlsAsync(kind, time, isInFront);
        var clients = new List<SslStream>();
        for (int i = 0; i < 10; i++)
        {
            var client = new SslStream(new NetworkStream(await host.ConnectAsync(), ownsSocket: true), leaveInnerStreamOpen: false, KestrelHost.IsTrusted);
            clients.Add(client);
            await client.AuthenticateAsClientAsync("localhost").OrTimeout();
            Assert.DoesNotContain("close", await AskAsync(client), StringComparison.OrdinalIgnoreCase);
        }

        time.Advance(s_age * 1.01);

        // Their requests are on the way at the same time.
        foreach (string answer in await Task.WhenAll(clients.Select(AskAsync)).OrTimeout())
        {
            Assert.Contains("Connection: close", answer, StringComparison.OrdinalIgnoreCase);
        }

        foreach (SslStream client in clients)
        {
            Assert.Equal(0, await client.ReadAsync(new byte[1]).OrTimeout());
            await client.DisposeAsync();
        }

        static async Task<string> AskAsync(SslStream client)
        {
            await client.WriteAsync(Encoding.ASCII.GetBytes(Get)).OrTimeout();
            var answer = new StringBuilder();
            byte[] part = new byte[1024];
            while (!answer.ToString().EndsWith("\r\n\r\nhello", StringComparison.Ordinal))
            {
                int count = await client.ReadAsync(part).OrTimeout();
                Assert.True(count > 0, "The request was lost.");
                answer.Append(Encoding.ASCII.GetString(part, 0, count));
            }

            return answer.ToString();
        }
    }

    [Theory, AllTransports]
    public async Task Age_InFrontOfTwoMiddlewares_IsSeenBehindThem(TransportKind kind)
    {
        var time = new ManualTime();
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind,
            app => app.Run(AnswerAsync),
            static listen =>
            {
                listen.UseConnectionLimits(LimitAge);
                listen.UseConnectionLimits(static limits => limits.IdleTimeout = s_age * 2);
                KestrelHost.UseTls(listen);
            },
            builder => builder.Services.AddSingleton<TimeProvider>(time));
        using HttpClient client = host.CreateClient();
        Assert.Equal("hello", await client.GetStringAsync(host.Address).OrTimeout());

        time.Advance(s_age * 1.01);

        using HttpResponseMessage response = await client.GetAsync(host.Address).OrTimeout();
        Assert.True(response.Headers.ConnectionClose);
    }

    [Theory]
    [InlineData(TransportKind.Sockets, false)]
    [InlineData(TransportKind.Sockets, true)]
    [InlineData(TransportKind.EpollAdaptive, false)]
    [InlineData(TransportKind.EpollAdaptive, true)]
    public async Task Time_OfAPlainConnection_IsToldWithinTenPercent(TransportKind kind, bool idle)
    {
        var asked = new TaskCompletionSource<TimeSpan>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using KestrelHost host = await StartPlainAsync(
            kind,
            limits =>
            {
                limits.MaxConnectionAge = idle ? null : s_time;
                limits.IdleTimeout = idle ? s_time : null;
                limits.MaxConnectionAgeJitter = 0;
            },
            async connection =>
            {
                // The age counts from here, and the idle time from the byte that is echoed.
                long began = Stopwatch.GetTimestamp();
                if (idle)
                {
                    await EchoOnceAsync(connection);
                    began = Stopwatch.GetTimestamp();
                }

                CancellationToken asksToEnd = connection.Features.Get<IConnectionLifetimeNotificationFeature>()!.ConnectionClosedRequested;
                using CancellationTokenRegistration _ = asksToEnd.Register(() => asked.SetResult(Stopwatch.GetElapsedTime(began)));
                await asked.Task;
            });
        using Socket client = await host.ConnectAsync();
        if (idle)
        {
            // After half of the time, which then begins again.
            await Task.Delay(s_time / 2);
            await client.SendAsync("x");
            Assert.Equal("x", await client.ReceiveTextAsync(1));
        }

        TimeSpan took = await asked.Task.OrTimeout();

        // More, where the machine had no processor for the timer; but not a whole time late.
        Assert.InRange(took / s_time, 0.95, 1.9);
        Assert.Empty(await client.ReceiveToEndAsync());
    }

    [Theory, AllTransports]
    public async Task Idle_PlainConnectionThatDoesNotEnd_IsAbortedBehindTheGrace(TransportKind kind)
    {
        var failure = new TaskCompletionSource<Exception>(TaskCreationOptions.RunContinuationsAsynchronously);
        var time = new ManualTime();
        await using KestrelHost host = await StartPlainAsync(kind, static limits => limits.IdleTimeout = s_age, ReadToFailureAsync, time);
        using Socket client = await host.ConnectAsync();
        await client.SendAsync("x");
        Assert.Equal("x", await client.ReceiveTextAsync(1));
        time.Advance(s_age / 2);
        Assert.Empty(Reports(host));

        // Half of the time after the byte that was seen, and half of it more.
        time.Advance(s_age / 2);
        Assert.Empty(Reports(host));
        time.Advance(s_age / 2);
        await host.Logs.WaitForAsync(static e => e.Category == LimitReports.Category).OrTimeout();
        time.Advance(TimeSpan.FromSeconds(29));
        await client.SendAsync("y");
        Assert.Equal("y", await client.ReceiveTextAsync(1));
        time.Advance(TimeSpan.FromSeconds(2));

        await client.AssertResetAsync();
        Assert.IsType<ConnectionAbortedException>(await failure.Task.OrTimeout());
        Assert.Equal(LogLevel.Debug, Assert.Single(Reports(host)).Level);

        async Task ReadToFailureAsync(ConnectionContext connection)
        {
            try
            {
                while (await EchoOnceAsync(connection))
                {
                }
            }
#pragma warning disable CA1031 // Whatever it is, the test looks at it.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                failure.SetResult(exception);
            }
        }
    }

    [Theory, AllTransports]
    public async Task Idle_ConnectionThatIsUsed_LivesOn(TransportKind kind)
    {
        var time = new ManualTime();
        await using KestrelHost host = await StartPlainAsync(
            kind,
            static limits => limits.IdleTimeout = s_age,
            static async connection =>
            {
                while (await EchoOnceAsync(connection))
                {
                }
            },
            time);
        using Socket client = await host.ConnectAsync();
        for (int i = 0; i < 5; i++)
        {
            await client.SendAsync("x");
            Assert.Equal("x", await client.ReceiveTextAsync(1));
            time.Advance(s_age * 0.9);
        }

        Assert.Empty(Reports(host));
    }

    [Theory, AllTransports]
    public async Task Address_WithABurstOfConnections_HasNoMoreThanItMay(TransportKind kind)
    {
        const int Most = 20;
        const int Clients = 120;
        using var counted = new Recorded("epoll_transport.connections.refused");
        await using KestrelHost host = await StartHttpAsync(kind, static limits => limits.MaxConnectionsPerAddress = Most);

        Socket[] clients = [.. Enumerable.Range(0, Clients).Select(_ => Net.CreateClient(host.EndPoint))];

        // Who was let in is served as long as it likes, and everybody else was reset.
        bool[] served = await Task.WhenAll(clients.Select(client => ConnectAsync(client, host.EndPoint))).OrTimeout();
        Assert.Equal(Most, served.Count(static isServed => isServed));
        Assert.Equal(Clients - Most, counted.Sum);
        LogEntry report = Assert.Single(host.Logs.All(), static e => e.Category == LimitReports.Category);
        Assert.Equal(LogLevel.Warning, report.Level);
        Assert.Contains("has 20", report.Message, StringComparison.Ordinal);

        // Another address has its own, and whose connections ended has room again.
        using (var other = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            other.Bind(new IPEndPoint(IPAddress.Parse("127.0.0.9"), 0));
            Assert.True(await ConnectAsync(other, host.EndPoint));
        }

        Array.ForEach(clients, static client => client.Dispose());
        await UntilAsync(async () =>
        {
            using Socket again = Net.CreateClient(host.EndPoint);
            return await ConnectAsync(again, host.EndPoint);
        });
    }

    [Theory, AllTransports]
    public async Task Address_OfAProxiedClient_IsTheOneThatCounts(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, AnswerAsync, static listen =>
        {
            listen.UseProxyProtocol(static options => options.TrustedNetworks.Add(IPNetwork.Parse("127.0.0.0/8")));
            listen.UseConnectionLimits(static limits => limits.MaxConnectionsPerAddress = 1);
        });

        using Socket first = await ConnectAsync("192.0.2.1");
        using Socket other = await ConnectAsync("192.0.2.2");
        using Socket second = await ConnectAsync("192.0.2.1", isAwaited: false);

        await second.AssertResetAsync();

        async Task<Socket> ConnectAsync(string source, bool isAwaited = true)
        {
            Socket client = await host.ConnectAsync();
            await client.SendAsync($"PROXY TCP4 {source} 192.0.2.100 1000 80\r\n{Get}");
            if (isAwaited)
            {
                Assert.EndsWith("hello", await ReceiveAnswerAsync(client), StringComparison.Ordinal);
            }

            return client;
        }
    }

    [Fact]
    public void Options_OutsideTheirLimits_AreRefused()
    {
        AssertRefused(o => o.MaxConnectionAge = TimeSpan.FromMilliseconds(99), nameof(ConnectionLimitsOptions.MaxConnectionAge));
        AssertRefused(o => o.MaxConnectionAge = TimeSpan.FromDays(31), nameof(ConnectionLimitsOptions.MaxConnectionAge));
        AssertRefused(o => o.MaxConnectionAgeJitter = 0.6, nameof(ConnectionLimitsOptions.MaxConnectionAgeJitter));
        AssertRefused(o => o.MaxConnectionAgeJitter = double.NaN, nameof(ConnectionLimitsOptions.MaxConnectionAgeJitter));
        AssertRefused(o => o.IdleTimeout = TimeSpan.Zero, nameof(ConnectionLimitsOptions.IdleTimeout));
        AssertRefused(o => o.CloseGrace = TimeSpan.FromTicks(-1), nameof(ConnectionLimitsOptions.CloseGrace));
        AssertRefused(o => o.MaxConnections = 0, nameof(ConnectionLimitsOptions.MaxConnections));
        AssertRefused(o => o.MaxConnectionsPerAddress = 0, nameof(ConnectionLimitsOptions.MaxConnectionsPerAddress));
        AssertRefused(o => o.IPv4PrefixLength = 33, nameof(ConnectionLimitsOptions.IPv4PrefixLength));
        AssertRefused(o => o.IPv6PrefixLength = 129, nameof(ConnectionLimitsOptions.IPv6PrefixLength));

        static void AssertRefused(Action<ConnectionLimitsOptions> set, string option)
        {
            var options = new ConnectionLimitsOptions();
            options.Validate();
            set(options);
            OptionsValidationException error = Assert.Throws<OptionsValidationException>(options.Validate);
            Assert.StartsWith($"ConnectionLimitsOptions.{option} is ", error.Message, StringComparison.Ordinal);
        }
    }

    private static void LimitAge(ConnectionLimitsOptions limits)
    {
        limits.MaxConnectionAge = s_age;
        limits.MaxConnectionAgeJitter = 0;
    }

    private static Task<KestrelHost> StartHttpAsync(TransportKind kind, Action<ConnectionLimitsOptions> configure, TimeProvider? time = null) => KestrelHost.StartAsync(
        kind, app => app.Run(AnswerAsync), listen => listen.UseConnectionLimits(configure), builder => builder.Services.AddSingleton(time ?? TimeProvider.System));

    private static Task<KestrelHost> StartTlsAsync(TransportKind kind, TimeProvider time, bool isInFront) => KestrelHost.StartAsync(
        kind,
        app => app.Run(AnswerAsync),
        listen =>
        {
            if (isInFront)
            {
                listen.UseConnectionLimits(LimitAge);
            }

            KestrelHost.UseTls(listen);
            if (!isInFront)
            {
                listen.UseConnectionLimits(LimitAge);
            }
        },
        builder => builder.Services.AddSingleton(time));

    private static Task<KestrelHost> StartPlainAsync(TransportKind kind, Action<ConnectionLimitsOptions> configure, Func<ConnectionContext, Task> serve, TimeProvider? time = null) => KestrelHost.StartAsync(
        kind,
        app => app.Run(AnswerAsync),
        listen =>
        {
            listen.UseConnectionLimits(configure);
            listen.Run(serve);
        },
        builder => builder.Services.AddSingleton(time ?? TimeProvider.System));

    private static IEnumerable<LogEntry> Reports(KestrelHost host) => host.Logs.All().Where(static e => e.Category == LimitReports.Category);

    private static Task AnswerAsync(HttpContext http)
    {
        http.Response.ContentLength = 5;
        return http.Response.WriteAsync("hello");
    }

    private static async Task<bool> EchoOnceAsync(ConnectionContext connection)
    {
        ReadResult read = await connection.Transport.Input.ReadAsync();
        if (read.IsCompleted)
        {
            return false;
        }

        foreach (ReadOnlyMemory<byte> part in read.Buffer)
        {
            await connection.Transport.Output.WriteAsync(part);
        }

        connection.Transport.Input.AdvanceTo(read.Buffer.End);
        return true;
    }

    // Whether it was let in, which an answer tells.
    private static async Task<bool> ConnectAsync(Socket client, EndPoint server)
    {
        try
        {
            await client.ConnectAsync(server).OrTimeout();
            await client.SendAsync(Get);
            return (await ReceiveAnswerAsync(client)).EndsWith("hello", StringComparison.Ordinal);
        }
        catch (SocketException error) when (error.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown)
        {
            return false;
        }
    }

    private static async Task<string> AskAsync(Socket client)
    {
        await client.SendAsync(Get);
        return await ReceiveAnswerAsync(client);
    }

    private static async Task<string> ReceiveAnswerAsync(Socket client)
    {
        string answer = "";
        while (!answer.EndsWith("\r\n\r\nhello", StringComparison.Ordinal))
        {
            answer += await client.ReceiveTextAsync(1);
        }

        return answer;
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        long began = Stopwatch.GetTimestamp();
        while (!await condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < Timeouts.Limit, "It did not happen in time.");
            await Task.Delay(10);
        }
    }

    /// <summary>The sum of one counter. Other tests don't run meanwhile.</summary>
    private sealed class Recorded : IDisposable
    {
        private readonly MeterListener _listener = new();
        private long _sum;

        public Recorded(string instrument)
        {
            _listener.InstrumentPublished = (published, listener) =>
            {
                if (published.Name == instrument)
                {
                    listener.EnableMeasurementEvents(published);
                }
            };
            _listener.SetMeasurementEventCallback<long>((_, value, _, _) => Interlocked.Add(ref _sum, value));
            _listener.Start();
        }

        public long Sum => Interlocked.Read(ref _sum);

        public void Dispose() => _listener.Dispose();
    }
}
