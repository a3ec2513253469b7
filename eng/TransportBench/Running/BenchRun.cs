using System.Runtime.InteropServices;
using TransportBench.Processes;
using TransportBench.Reports;
using TransportBench.Scenarios;

namespace TransportBench.Running;

/// <summary>A whole run: one scenario after the other, each told when it is done.</summary>
/// <param name="settings">What is compared.</param>
/// <param name="onResult">Called after each scenario with all that is known by then.</param>
internal sealed class BenchRun(RunSettings settings, Action<RunResult> onResult)
{
    public RunResult Run()
    {
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, EndAtOnce);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, EndAtOnce);
        using PosixSignalRegistration hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, EndAtOnce);

        var result = new RunResult(
            Machine.Describe(),
            new RunInfo(DateTimeOffset.Now, settings.Pairs, settings.Seconds, settings.WarmUpSeconds, settings.Launches),
            []);
        var progress = new Progress(settings.Scenarios.Sum(s => new ScenarioTimes(s, settings).Total));
        foreach (Scenario scenario in settings.Scenarios)
        {
            ScenarioResult scenarioResult = new ScenarioRun(scenario, settings, progress).Run();
            result = result with { Scenarios = [.. result.Scenarios, scenarioResult] };
            Progress.Clear();
            Console.WriteLine(TerminalReport.Format(scenarioResult));
            onResult(result);
        }

        return result;
    }

    private static void EndAtOnce(PosixSignalContext context)
    {
        ChildProcess.EndAll();
        const int SignalExitCodes = 128;
        Environment.Exit(SignalExitCodes + (context.Signal == PosixSignal.SIGINT ? 2 : 15));
    }
}
