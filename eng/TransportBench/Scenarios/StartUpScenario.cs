using System.Diagnostics;
using TransportBench.Client;
using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Processes;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>How long a process takes from its start until it listens, and until it has answered.</summary>
internal sealed record StartUpScenario(string Name, string Title) : Scenario(Name, Title)
{
    private const double Mebibyte = 1024 * 1024;

    private static readonly Figure s_listening = new("listening-ms", "listening after ms", Better.Lower);
    private static readonly Figure s_firstAnswer = new("first-answer-ms", "first answer takes ms", Better.Lower);
    private static readonly Figure s_processor = new("start-cpu-ms", "CPU ms until then", Better.Lower);
    private static readonly Figure s_resident = new("start-rss-mib", "RSS MiB", Better.Lower);

    public override IReadOnlyList<Figure> Figures => [s_listening, s_firstAnswer, s_processor, s_resident];

    public override IReadOnlyList<Figure> Headlines => [s_listening, s_firstAnswer];

    public override bool NeedsFreshServer => true;

    public override bool WarmsUp => false;

    public override double SecondsOfTurn(double seconds) => 1;

    public override Sample Run(ServerProcess server, double seconds)
    {
        long start = Stopwatch.GetTimestamp();
        FirstAnswer.Await(server.Endpoints.Http, Exchanges.Json);
        var sample = new Sample();
        sample[s_listening] = server.StartUpTime.TotalMilliseconds;
        sample[s_firstAnswer] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        sample[s_processor] = ProcessFiles.GetCpuTime(server.Id).Total * 1000;
        sample[s_resident] = ProcessFiles.GetResidentBytes(server.Id) / Mebibyte;
        return sample;
    }

    public override double WarmUp(ServerProcess server, double seconds) => 1;
}
