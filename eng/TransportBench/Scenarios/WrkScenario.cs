using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>HTTP/1.1 by wrk.</summary>
internal sealed record WrkScenario(string Name, string Title, WrkRequest Request) : LoadScenario(Name, Title)
{
    private const int ManyConnections = 5000;
    private const double SecondsForMany = 6;

    // Opening very many connections takes wrk a second or two, in which nothing is answered.
    public override double SecondsOfTurn(double seconds) =>
        Request.Connections < ManyConnections ? seconds : Math.Max(seconds, SecondsForMany);

    public override bool Includes(Transport transport) =>
        transport != Transport.Floor || (!Request.UsesTls && Request.Path is (Paths.Json or Paths.Plaintext));

    protected override void Check(ServerProcess server) =>
        new Probe(Request.AddressOn(server.Endpoints), Request.Body) { UploadBytes = Request.UploadBytes }.Check();

    protected override LoadResult RunLoad(ServerProcess server, double seconds) =>
        Wrk.Run(server.Endpoints, Request, SecondsOfTurn(seconds), Settings.Processors);
}
