using System.Runtime.InteropServices;
using TransportBench.Processes;
using TransportBench.Reports;
using TransportBench.Scenarios;

namespace TransportBench.Running;

/// <summary>A whole run: one scenario after the other, each told when it is done.</summary>
internal sealed class BenchRun(RunSettings settings)
{
    public RunResult Run()
    {
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, EndAtOnce);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, EndAtOnce);
        using PosixSignalRegistration hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, EndAtOnce);

        DateTimeOffset began = DateTimeOffset.Now;
        var progress = new Progress(settings.Scenarios.Sum(s => new ScenarioRun(s, settings, new Progress(0)).ExpectedSeconds));
        var results = new List<ScenarioResult>();
        foreach (Scenario scenario in settings.Scenarios)
        {
            ScenarioResult result = new ScenarioRun(scenario, settings, progress).Run();
            results.Add(result);
            Progress.Clear();
            Console.WriteLine(TerminalTable.Format(result));
        }

        return new RunResult(
            Machine.Describe(), new RunInfo(began, settings.Pairs, settings.Seconds, settings.WarmUpSeconds), results);
    }

    private static void EndAtOnce(PosixSignalContext context)
    {
        ChildProcess.EndAll();
        const int SignalExitCodes = 128;
        Environment.Exit(SignalExitCodes + (context.Signal == PosixSignal.SIGINT ? 2 : 15));
    }
}
