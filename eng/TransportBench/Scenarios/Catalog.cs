using TransportBench.Client;
using TransportBench.Load;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>All scenarios, in the order in which they are run and told.</summary>
internal static class Catalog
{
    public static IReadOnlyList<Scenario> All { get; } = [.. Http(), .. Blocking()];

    private static IEnumerable<Scenario> Http()
    {
        yield return new WrkScenario("json-64", "JSON, keep-alive, 64 connections", Json(64));
        yield return new WrkScenario("json-512", "JSON, keep-alive, 512 connections", Json(512));
        yield return new WrkScenario(
            "pipelined", "Plaintext, pipelined 16 deep, 64 connections",
            new WrkRequest(Paths.Plaintext, 64) { Depth = 16, BodyBytes = Exchanges.PlaintextBody.Length });
        yield return new WrkScenario("close", "JSON, a connection for each request, 64 at once", Json(64) with { CloseEvery = 1 });
        yield return new WrkScenario("https-64", "HTTPS JSON, keep-alive, 64 connections", Json(64) with { UsesTls = true });
    }

    private static IEnumerable<Scenario> Blocking()
    {
        yield return Isolation("isolation-100", "64 cheap connections beside 100 that sleep 50 ms", 100, reconnects: false);
        yield return Isolation("isolation-1000", "64 cheap connections beside 1,000 that sleep 50 ms", 1000, reconnects: false);
        yield return Isolation(
            "isolation-reconnect", "64 cheap connections beside 100 that sleep 50 ms, each time on a new connection", 100, reconnects: true);
        yield return new WrkScenario(
            "sleep-1ms", "Handlers that sleep 1 ms, 64 connections",
            new WrkRequest($"{Paths.Sleep}?n=1", 64) { BodyBytes = Exchanges.PlaintextBody.Length })
        { Settings = ServerSettings.Shared };
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

    private static WrkRequest Json(int connections) =>
        new(Paths.Json, connections) { BodyBytes = Exchanges.JsonBody.Length };
}
