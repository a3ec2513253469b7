using TransportBench.Measuring;
using TransportBench.Processes;
using TransportBench.Reports;
using TransportBench.Running;
using Contestant = TransportBench.Servers.Transport;

namespace KestrelEpollTransport.FunctionalTests.TransportBench;

public sealed class OtherRuntimeTests : IDisposable
{
    private static readonly Figure s_rate = new("rate", "rate", Better.Higher);
    private static readonly OtherRuntime s_runtime = new("/opt/dotnet11/dotnet", new Version(11, 0, 3));

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("11.0.3", ".NET 11.0.3")]
    [InlineData("12.0.0-preview.1.26104.118", ".NET 12.0.0")]
    public void Find_OneRuntime_TellsItsVersion(string folder, string title)
    {
        Install(folder);

        Assert.Equal(title, OtherRuntime.Find(_folder)!.Title);
    }

    [Fact]
    public void Find_SeveralRuntimes_ChoosesNone()
    {
        Install("10.0.12");
        Install("11.0.3");

        Assert.Null(OtherRuntime.Find(_folder));
    }

    [Fact]
    public void Find_NoRuntime_FindsNone() => Assert.Null(OtherRuntime.Find(_folder));

    [Fact]
    public void On_AnotherRuntime_IsAnotherContestantOfTheSameKind()
    {
        Contestant there = Contestant.Epoll.On(s_runtime);

        Assert.Equal(("epoll@11", "epoll, .NET 11.0.3"), (there.Name, there.Title));
        Assert.Equal(Contestant.Epoll, there.Kind);
        Assert.NotEqual(Contestant.Epoll, there);
        Assert.Equal(Contestant.Epoll, Contestant.Epoll.Kind);
    }

    [Fact]
    public void Lines_AnotherRuntime_ComparesWithSocketsOnThatRuntime()
    {
        var result = new ScenarioResult(
            "name", "title", [s_rate], [s_rate.Key],
            [Result("sockets", 10, 20), Result("epoll", 15, 30), Result("sockets@11", 8, 10), Result("epoll@11", 16, 30)],
            Failure: null);

        Assert.Equal(["title of epoll@11, × title of sockets@11: rate 2.50 (2.00..3.00)"], ScenarioTable.Lines(result));
    }

    private void Install(string version)
    {
        Directory.CreateDirectory(Path.Combine(_folder, "shared", "Microsoft.NETCore.App", version));
        File.WriteAllText(Path.Combine(_folder, "dotnet"), "");
    }

    private static ContestantResult Result(string name, params double[] values) => new(
        name,
        $"title of {name}",
        new Dictionary<string, FigureResult> { [s_rate.Key] = new(values, Spread.Of(values), Ratio: null) },
        SystemCalls: null);
}
