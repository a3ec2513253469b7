using System.CommandLine;
using System.Globalization;
using TransportBench.Processes;
using TransportBench.Reports;
using TransportBench.Running;
using TransportBench.Scenarios;
using TransportBench.Servers;

namespace TransportBench.CommandLine;

/// <summary>The command line: what it accepts, and what it starts.</summary>
internal sealed class BenchCommand
{
    private const int FailedExitCode = 1;
    private const int UsageExitCode = 2;

    private readonly Option<string[]> _transports = ListOption(
        "--transports", "What is compared with Sockets", [.. Transport.Choices.Select(static t => t.Name)]);

    private readonly Option<string[]> _scenarios = ListOption(
        "--scenarios", "What they are compared by; see --list", [.. Catalog.All.Select(static s => s.Name)]);

    private readonly Option<int?> _pairs = new("--pairs") { Description = "Rounds, in each of which every transport has a turn [7; quick: 2]" };
    private readonly Option<int?> _launches = new("--launches") { Description = "How often servers are started anew, for so many rounds each [1]" };
    private readonly Option<double?> _duration = new("--duration") { Description = "Seconds of a turn [4; quick: 1]" };
    private readonly Option<double?> _warmUp = new("--warm-up") { Description = "Least seconds of warm-up of a server [15; quick: 1]" };
    private readonly Option<bool> _quick = new("--quick") { Description = "Shows that everything works; its figures are no good" };
    private readonly Option<bool> _systemCalls = new("--system-calls") { Description = "Also counts system calls a request, with strace" };
    private readonly Option<string?> _baseline = new("--baseline") { Description = "The results.json of an earlier run, to compare with" };
    private readonly Option<string?> _before = new("--before") { Description = "The TransportBench.dll of another build: its default mode takes part too" };
    private readonly Option<string?> _runtime = new("--runtime") { Description = "A folder with another .NET runtime (see eng/dotnet11.sh): everything takes part on it too" };
    private readonly Option<string?> _report = new("--report") { Description = "Writes the page and the charts of a results.json again, and runs nothing" };
    private readonly Option<string?> _output = new("--output") { Description = "The folder for the results [artifacts/TransportBench/TIME]" };
    private readonly Option<bool> _list = new("--list") { Description = "Lists transports and scenarios" };

    /// <summary>Parses and runs; returns the exit code.</summary>
    public static int Run(string[] args)
    {
        var command = new BenchCommand();
        var root = new RootCommand("Compares the epoll transport with Kestrel's stock transport, Sockets, in turns on this machine.")
        {
            command._transports, command._scenarios, command._pairs, command._launches, command._duration, command._warmUp,
            command._quick, command._systemCalls, command._before, command._runtime, command._baseline, command._output, command._report, command._list,
        };
        RequireAtLeast(command._pairs, 1);
        RequireAtLeast(command._launches, 1);
        RequireAtLeast(command._duration, 1);
        RequireAtLeast(command._warmUp, 0);
        root.SetAction(command.Execute);
        return root.Parse(args).Invoke();
    }

    private int Execute(ParseResult parsed)
    {
        if (parsed.GetValue(_list))
        {
            List();
            return 0;
        }

        if (parsed.GetValue(_report) is { } earlier)
        {
            new ReportFolder(Path.GetDirectoryName(Path.GetFullPath(earlier))!, baseline: null).WriteWithCharts(JsonReport.Read(earlier));
            return 0;
        }

        if (FindObstacle(parsed) is { } obstacle)
        {
            Console.Error.WriteLine(obstacle);
            return UsageExitCode;
        }

        Programs.Before = parsed.GetValue(_before);
        RunResult? baseline = parsed.GetValue(_baseline) is { } path ? JsonReport.Read(path) : null;
        var folder = new ReportFolder(parsed.GetValue(_output) ?? DefaultOutput(), baseline);
        RunResult result = new BenchRun(Settings(parsed), folder.Write).Run();
        folder.WriteWithCharts(result);
        if (baseline is not null)
        {
            Console.WriteLine(TextTable.Aligned(BaselineTable.Rows(baseline, result), wordColumns: 3));
        }

        Console.WriteLine($"Written: {folder.MarkdownPath} and {Path.GetFileName(folder.JsonPath)}");
        return result.Scenarios.Any(static s => s.Failure is not null) ? FailedExitCode : 0;
    }

    private static string DefaultOutput() =>
        Path.Combine("artifacts", "TransportBench", DateTime.Now.ToString("yyyyMMdd-HHmmss", CultureInfo.InvariantCulture));

    /// <summary>Why a run can't begin; null if it can.</summary>
    private string? FindObstacle(ParseResult parsed)
    {
        IReadOnlyList<string> missing = Programs.MissingPackages();
        if (missing.Count > 0)
        {
            return $"Missing, as Debian packages: {string.Join(' ', missing)}. eng/bench.sh installs them first.";
        }

        if (parsed.GetValue(_systemCalls) && !Programs.HasStrace)
        {
            return "--system-calls needs the Debian package strace. eng/bench.sh installs it first.";
        }

        if (parsed.GetValue(_baseline) is { } baseline && !File.Exists(baseline))
        {
            return $"--baseline: there is no file {baseline}.";
        }

        if (parsed.GetValue(_before) is { } before && !File.Exists(before))
        {
            return $"--before: there is no file {before}.";
        }

        if (parsed.GetValue(_runtime) is { } runtime && OtherRuntime.Find(runtime) is null)
        {
            return $"--runtime: {runtime} is no folder with one runtime and the program dotnet.";
        }

        return null;
    }

    private RunSettings Settings(ParseResult parsed)
    {
        bool quick = parsed.GetValue(_quick);
        string[] transports = parsed.GetValue(_transports) ?? [];
        string[] scenarios = parsed.GetValue(_scenarios) ?? [];
        Transport[] chosen = [.. Transport.All.Where(t => TakesPart(t, transports))];
        OtherRuntime? runtime = parsed.GetValue(_runtime) is { } folder ? OtherRuntime.Find(folder) : null;
        return new RunSettings(
            [.. chosen, .. runtime is null ? [] : chosen.Intersect(Transport.Choices).Select(t => t.On(runtime))],
            [.. Catalog.All.Where(s => IsAskedFor(s.Name, scenarios))],
            parsed.GetValue(_pairs) ?? (quick ? 2 : 7),
            parsed.GetValue(_launches) ?? 1,
            parsed.GetValue(_duration) ?? (quick ? 1 : 4),
            parsed.GetValue(_warmUp) ?? (quick ? 1 : RunSettings.ThoroughWarmUpSeconds),
            parsed.GetValue(_systemCalls));
    }

    private static bool TakesPart(Transport transport, string[] names) =>
        transport == Transport.Before ? Programs.Before is not null
        : transport == Transport.Sockets || transport == Transport.Control || IsAskedFor(transport.Name, names);

    private static bool IsAskedFor(string name, string[] names) => names.Length == 0 || names.Contains(name);

    private static void List()
    {
        Console.WriteLine("Transports:");
        foreach (Transport transport in Transport.Choices)
        {
            Console.WriteLine($"  {transport.Name,-22}{transport.Title}");
        }

        Console.WriteLine("Scenarios:");
        foreach (Scenario scenario in Catalog.All)
        {
            Console.WriteLine($"  {scenario.Name,-22}{scenario.Title}");
        }
    }

    private static void RequireAtLeast<T>(Option<T?> option, T least)
        where T : struct, IComparable<T> =>
        option.Validators.Add(parsed =>
        {
            if (parsed.GetValueOrDefault<T?>() is { } value && value.CompareTo(least) < 0)
            {
                parsed.AddError($"{option.Name} is {least} at least.");
            }
        });

    private static Option<string[]> ListOption(string name, string description, string[] choices) => new(name)
    {
        Description = $"{description}, separated by commas [all]",
        AllowMultipleArgumentsPerToken = true,
        CustomParser = parsed =>
        {
            string[] values = [.. parsed.Tokens.SelectMany(static t => t.Value.Split(',', StringSplitOptions.RemoveEmptyEntries))];
            foreach (string wrong in values.Except(choices))
            {
                parsed.AddError($"{name}: there is no '{wrong}'; see --list.");
            }

            return values;
        },
    };
}
