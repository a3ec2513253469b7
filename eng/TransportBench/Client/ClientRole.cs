using System.Text.Json;

namespace TransportBench.Client;

/// <summary>The program as a client: <c>--role client</c>, a plan on standard input, a report on standard output.</summary>
internal static class ClientRole
{
    public static int Run()
    {
        LoadPlan plan = JsonSerializer.Deserialize(Console.In.ReadToEnd(), ClientJsonContext.Default.LoadPlan)!;
        using var load = new LoadLoop(plan);
        LoadReport report = load.Run();
        Console.Out.WriteLine(JsonSerializer.Serialize(report, ClientJsonContext.Default.LoadReport));
        return 0;
    }
}
