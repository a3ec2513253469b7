using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>HTTP/1.1 by wrk.</summary>
internal sealed record WrkScenario(string Name, string Title, WrkRequest Request) : LoadScenario(Name, Title)
{
    private const int ManyConnections = 5000;
    private const double SecondsForMany = 12;
    private const double SecondsOfGrowth = 10;

    /// <summary>
    /// For what makes a server's thread pool grow: each turn has a server of its own, which has been asked for this only, and
    /// takes long enough to show how it copes. Null: the turns share a server that is warm, and has all the threads it wants.
    /// </summary>
    public WrkRequest? WarmUpRequest { get; init; }

    public override bool NeedsFreshServer => WarmUpRequest is not null;

    // Opening very many connections takes wrk a second or two, in which little is answered, and was a fifth of what a turn of 6 s
    // cost the server. What is asked for is what they cost once they are there.
    public override double SecondsOfTurn(double seconds) =>
        NeedsFreshServer ? Math.Max(seconds, SecondsOfGrowth)
        : Request.Connections < ManyConnections ? seconds
        : Math.Max(seconds, SecondsForMany);

    public override double WarmUp(ServerProcess server, double seconds) =>
        WarmUpRequest is null
            ? base.WarmUp(server, seconds)
            : (this with { Request = WarmUpRequest, WarmUpRequest = null }).WarmUp(server, seconds);

    public override bool Includes(Transport transport) =>
        transport != Transport.Floor || (!Request.UsesTls && Request.Path is (Paths.Json or Paths.Plaintext));

    protected override void Check(ServerProcess server) =>
        new Probe(Request.AddressOn(server.Endpoints), Request.Body) { UploadBytes = Request.UploadBytes }.Check();

    protected override LoadResult RunLoad(ServerProcess server, double seconds) =>
        Wrk.Run(server.Endpoints, Request, SecondsOfTurn(seconds), Settings.Processors);
}
