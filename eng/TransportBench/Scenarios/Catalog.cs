using System.Globalization;
using System.Text;
using TransportBench.Client;
using TransportBench.Load;
using TransportBench.Processes;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>All scenarios, in the order in which they are run and told.</summary>
internal static class Catalog
{
    private const int Mebibyte = 1024 * 1024;

    private static readonly byte[] s_json = Encoding.ASCII.GetBytes(Exchanges.JsonBody);
    private static readonly byte[] s_plaintext = Encoding.ASCII.GetBytes(Exchanges.PlaintextBody);
    private static readonly WrkRequest s_sleep1 = new($"{Paths.Sleep}?n=1", 64, s_plaintext);

    public static IReadOnlyList<Scenario> All { get; } =
        [.. Http(), .. Latency(), .. OpenLoops(), .. TlsAndHttp2(), .. Transfers(), .. WithoutHttp(), .. Idle(), .. BehindProxy(), .. Blocking(), .. Overloads(), .. StartUp()];

    private static IEnumerable<Scenario> Http()
    {
        yield return new WrkScenario("json-1", "JSON, keep-alive, 1 connection", Json(1));
        yield return new WrkScenario("json-64", "JSON, keep-alive, 64 connections", Json(64));
        yield return new WrkScenario("json-512", "JSON, keep-alive, 512 connections", Json(512));
        yield return new WrkScenario("json-10000", "JSON, keep-alive, 10,000 connections", Json(10_000))
        {
            Settings = ServerSettings.Shared,
        };
        yield return new WrkScenario(
            "pipelined", "Plaintext, pipelined 16 deep, 64 connections",
            new WrkRequest(Paths.Plaintext, 64, s_plaintext) { Depth = 16 });
        yield return new WrkScenario("close", "JSON, a connection for each request, 64 at once", Json(64) with { CloseEvery = 1 });
        yield return new WrkScenario("reconnect-10", "JSON, a connection for every 10 requests, 64 at once", Json(64) with { CloseEvery = 10 });
        yield return new H2loadScenario(
            "unix", "JSON over a unix socket, 64 connections",
            new H2loadRequest(Paths.Json, 64, Streams: 1, s_json) { UsesUnixSocket = true });
    }

    private static IEnumerable<Scenario> Latency()
    {
        foreach (int connections in (int[])[1, 64, 512])
        {
            yield return new WrkScenario($"latency-{connections}", $"JSON, keep-alive, {connections} connection{(connections == 1 ? "" : "s")}, not pinned", Json(connections))
            {
                Settings = ServerSettings.Shared,
                IsAboutLatency = true,
            };
        }

        yield return new WrkScenario("latency-https-64", "HTTPS JSON, keep-alive, 64 connections, not pinned", Json(64) with { UsesTls = true })
        {
            Settings = ServerSettings.Shared,
            IsAboutLatency = true,
        };
        yield return new WrkScenario("latency-compute", "Handlers that compute for 80 µs, 64 connections, not pinned", new WrkRequest(Exchanges.BurnPath(80), 64, s_plaintext))
        {
            Settings = ServerSettings.Shared,
            IsAboutLatency = true,
        };
    }

    private static IEnumerable<Scenario> OpenLoops()
    {
        yield return Open("open-10k", "10,000/s", static s => s with { RequestsPerSecond = 10_000 });
        yield return Open("open-40pct", "40 % of what Sockets can serve", static s => s with { ShareOfSockets = 0.4 });
        yield return Open("open-80pct", "80 % of what Sockets can serve", static s => s with { ShareOfSockets = 0.8 });

        static OpenLoopScenario Open(string name, string rate, Func<OpenLoopScenario, OpenLoopScenario> set) =>
            set(new OpenLoopScenario(name, $"JSON at {rate}, open loop, 256 connections, not pinned")) with { Settings = ServerSettings.Shared };
    }

    private static IEnumerable<Scenario> TlsAndHttp2()
    {
        yield return new WrkScenario("https-64", "HTTPS JSON, keep-alive, 64 connections", Json(64) with { UsesTls = true });
        yield return new WrkScenario(
            "https-close", "HTTPS JSON, a handshake for each request, 64 at once", Json(64) with { UsesTls = true, CloseEvery = 1 });
        var streams = new H2loadRequest(Paths.Json, 16, Streams: 32, s_json);
        yield return new H2loadScenario("h2", "HTTP/2 over TLS, JSON, 16 connections × 32 streams", streams with { UsesTls = true });
        yield return new H2loadScenario("h2c", "HTTP/2 without TLS, JSON, 16 connections × 32 streams", streams);
    }

    private static IEnumerable<Scenario> Transfers()
    {
        yield return new WrkScenario(
            "upload-1m", "Uploads of 1 MiB, 16 connections",
            new WrkRequest(Paths.Upload, 16, Encoding.ASCII.GetBytes($"{Mebibyte}")) { UploadBytes = Mebibyte });
        yield return new WrkScenario("download-64k", "Downloads of 64 KiB, 16 connections", Download(64 * 1024));
        yield return new WrkScenario("download-1m", "Downloads of 1 MiB, 16 connections", Download(Mebibyte));
        yield return new WrkScenario("download-64k-shared", "Downloads of 64 KiB, 16 connections, not pinned", Download(64 * 1024)) { Settings = ServerSettings.Shared };
        yield return new WrkScenario("download-1m-shared", "Downloads of 1 MiB, 16 connections, not pinned", Download(Mebibyte)) { Settings = ServerSettings.Shared };
    }

    private static IEnumerable<Scenario> WithoutHttp()
    {
        yield return new OwnClientScenario(
            "raw-echo", "Echo without HTTP, 32 bytes, 64 connections",
            static endpoints => new LoadGroup("echo", endpoints.Raw, [Exchanges.Echo]) { Connections = 64 });
        yield return new OwnClientScenario(
            "websocket", "WebSocket echo, 32 bytes, 64 connections",
            static endpoints => new LoadGroup("echo", endpoints.Http, [Exchanges.WebSocketEcho]) { Connections = 64, Opening = Exchanges.Upgrade });
    }

    private static IEnumerable<Scenario> Idle()
    {
        yield return new BesideIdleScenario("beside-idle", "JSON on 64 connections beside 15,000 idle ones", 15_000, Json(64));
        var settings = new ServerSettings(Processors.Shared, UsesServerCollector: false);
        yield return new IdleMemoryScenario("idle-raw", "An idle connection without HTTP: memory", IsRaw: true) { Settings = settings };
        yield return new IdleMemoryScenario("idle-http", "An idle HTTP connection: memory", IsRaw: false) { Settings = settings };
    }

    private static IEnumerable<Scenario> BehindProxy()
    {
        yield return new ProxyProtocolScenario("proxy-json-64", "JSON, keep-alive, 64 connections, a PROXY header on each of epoll-proxy's", Reconnects: false);
        yield return new ProxyProtocolScenario("proxy-close", "JSON, a connection for each request, 64 at once, a PROXY header on each of epoll-proxy's", Reconnects: true);
    }

    private static IEnumerable<Scenario> Overloads()
    {
        yield return new QueueingDelayScenario("queueing-delay", "What the server says of the wait, of handlers that compute for 200 µs, open loop");
        yield return Compute("overload-compute-1.5x", 1.5);
        yield return Compute("overload-compute-3x", 3);
        yield return Block("overload-block-1.5x", 1.5);
        yield return Block("overload-block-3x", 3);
        yield return Block("overload-block-10x", 10);

        static OverloadScenario Compute(string name, double times) =>
            new(name, $"Handlers that compute for 200 µs, at {Text(times)} × what the server can do", static () => Exchange.Get(Exchanges.BurnPath(200), Exchanges.PlaintextBody), times);

        static OverloadScenario Block(string name, double times) =>
            new(name, $"Handlers that block for 5 ms, at {Text(times)} × what {Overload.AtATime} at a time can do", static () => Exchanges.Sleep(5), times)
            {
                // On one processor, ten times as much would be about that.
                Blocking = Overload.AtATime,
                Settings = ServerSettings.Shared,
            };

        static string Text(double times) => times.ToString(CultureInfo.InvariantCulture);
    }

    private static IEnumerable<Scenario> StartUp()
    {
        yield return new StartUpScenario("start-up", "Start-up of a server process") { Settings = ServerSettings.Shared };
    }

    private static IEnumerable<Scenario> Blocking()
    {
        yield return Isolation("isolation-100", "64 cheap connections beside 100 that sleep 50 ms", 100, reconnects: false);
        yield return Isolation("isolation-1000", "64 cheap connections beside 1,000 that sleep 50 ms", 1000, reconnects: false);
        yield return Isolation(
            "isolation-reconnect", "64 cheap connections beside 100 that sleep 50 ms, each time on a new connection", 100, reconnects: true);
        yield return Beside(
            "isolation-await", "32 cheap connections beside 100 that await, and then sleep 50 ms",
            static endpoints => new LoadGroup("sleeping", endpoints.Http, [Exchanges.AwaitAndSleep(50)]) { Connections = 100 })
        with
        { CheapConnections = 32 };
        yield return new BlockingStreamsScenario(
            "isolation-streams", "32 cheap connections beside 10 × 10 HTTP/2 streams that sleep 50 ms", IsCheapHttp2: false)
        { Settings = ServerSettings.Shared };
        yield return new BlockingStreamsScenario(
            "isolation-streams-h2", "32 cheap HTTP/2 connections beside 10 × 10 HTTP/2 streams that sleep 50 ms", IsCheapHttp2: true)
        { Settings = ServerSettings.Shared };
        foreach (int connections in (int[])[200, 400])
        {
            yield return new FetchScenario(
                $"sync-over-async-{connections}", $"Handlers that block until another server has answered, {connections} connections, the first 10 s of it", connections)
            { Settings = ServerSettings.Shared };
        }

        yield return new WrkScenario(
            "delay-10ms", "Handlers that await a timer of 10 ms, 4,000 connections", new WrkRequest($"{Paths.Delay}?n=10", 4_000, s_plaintext))
        { Settings = ServerSettings.Shared };
        yield return new WrkScenario(
            "yield-10", "Handlers that await Task.Yield() ten times, 64 connections", new WrkRequest($"{Paths.Yield}?n=10", 64, s_plaintext))
        { Settings = ServerSettings.Shared };
        yield return new BlockingSweepScenario(
            "blocking-sweep", "64 cheap connections beside 0 to 200 that sleep 50 ms: cheap requests/s")
        { Settings = ServerSettings.Shared };
        yield return new WrkScenario(
            "sleep-1ms", "Handlers that sleep 1 ms, 64 connections, the first 10 s of it", s_sleep1)
        { Settings = ServerSettings.Shared, WarmUpRequest = Json(64) };
        yield return new WrkScenario(
            "sleep-1ms-grown", "Handlers that sleep 1 ms, 64 connections, once the thread pool has grown", s_sleep1)
        { Settings = ServerSettings.Shared };
        yield return new WrkScenario(
            "sleep-1ms-pinned", "Handlers that sleep 1 ms, 64 connections, pinned, the first 10 s of it", s_sleep1)
        { WarmUpRequest = Json(64) };
        yield return new WrkScenario(
            "sleep-1ms-grown-pinned", "Handlers that sleep 1 ms, 64 connections, pinned, once the thread pool has grown", s_sleep1);
        yield return Beside(
            "cpu-bound", "32 cheap connections beside 4 of which every 20th request burns 5 ms",
            static endpoints => new LoadGroup("burning", endpoints.Http, [.. Enumerable.Repeat(Exchanges.Json, 19), Exchanges.Burn(5)]) { Connections = 4 })
        with
        { CheapConnections = 32 };
        yield return Beside(
            "tls-connects", "64 cheap connections beside 200 new TLS connections a second",
            static endpoints => new LoadGroup("TLS", endpoints.Https, [Exchanges.Json]) { ConnectionsPerSecond = 200, UsesTls = true });
        yield return Beside(
            "alternating", "64 cheap connections beside 16 that ask for JSON and for 10 ms of sleep in turns",
            static endpoints => new LoadGroup("alternating", endpoints.Http, [Exchanges.Json, Exchanges.Sleep(10)]) { Connections = 16 });
    }

    private static MixedScenario Isolation(string name, string title, int sleepers, bool reconnects) => Beside(
        name, title,
        endpoints => new LoadGroup("sleeping", endpoints.Http, [Exchanges.Sleep(50)]) { Connections = sleepers, Reconnects = reconnects });

    private static MixedScenario Beside(string name, string title, Func<Endpoints, LoadGroup> disturber) =>
        new(name, title, endpoints => [disturber(endpoints)]) { Settings = ServerSettings.Shared };

    private static WrkRequest Download(int bytes) => new($"{Paths.Download}?n={bytes}", 16, new byte[bytes]);

    private static WrkRequest Json(int connections) => new(Paths.Json, connections, s_json);
}
