using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using System.Threading.Channels;

namespace RestartTool;

/// <summary>The line of server processes: starts the first, has each one replaced, and reads what all of them print.</summary>
internal sealed partial class Servers(RestartOptions options) : IDisposable
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(60);

    private readonly List<Process> _started = [];
    private readonly Channel<int> _serving = Channel.CreateUnbounded<int>();
    private readonly Channel<int> _ended = Channel.CreateUnbounded<int>();

    /// <summary>The process that serves.</summary>
    public int Current { get; private set; }

    public async Task StartAsync()
    {
        Start();
        Current = await WaitAsync(_serving);
    }

    /// <summary>Returns when the successor serves and the predecessor has ended: how long each took.</summary>
    public async Task<(TimeSpan Serving, TimeSpan Ended)> RestartAsync()
    {
        int old = Current;
        long began = Stopwatch.GetTimestamp();
        if (options.ReusesPort)
        {
            Start();
        }
        else
        {
            Signal("HUP", old);
        }

        Current = await WaitAsync(_serving);
        TimeSpan serving = Stopwatch.GetElapsedTime(began);
        if (options.ReusesPort)
        {
            Signal("TERM", old);
        }

        int ended = await WaitAsync(_ended);
        return ended == old ? (serving, Stopwatch.GetElapsedTime(began)) : throw new InvalidOperationException($"Process {ended} ended instead of {old}.");
    }

    public async Task StopAsync()
    {
        Signal("TERM", Current);
        await WaitAsync(_ended);
    }

    public void Dispose()
    {
        foreach (Process process in _started)
        {
            process.Dispose();
        }
    }

    private static async Task<int> WaitAsync(Channel<int> channel)
    {
        using var timeout = new CancellationTokenSource(s_limit);
        return await channel.Reader.ReadAsync(timeout.Token);
    }

    private static void Signal(string signal, int process)
    {
        using Process kill = Process.Start("kill", ["-" + signal, Format(process)]);
        kill.WaitForExit();
    }

    private static string Format(int number) => number.ToString(CultureInfo.InvariantCulture);

    // Its successors inherit its output.
    private void Start()
    {
        var start = new ProcessStartInfo("dotnet", [options.Server, "--port", Format(options.Port), "--drain", Format(options.DrainSeconds), "--reuse-port", options.ReusesPort ? "true" : "false"])
        {
            RedirectStandardOutput = true,
        };
        Process process = Process.Start(start)!;
        _started.Add(process);
        process.OutputDataReceived += (_, line) => OnLine(line.Data ?? "");
        process.BeginOutputReadLine();
    }

    private void OnLine(string line)
    {
        if (LinePattern().Match(line) is { Success: true } match)
        {
            int process = int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture);
            (match.Groups[2].Value == "serves" ? _serving : _ended).Writer.TryWrite(process);
        }
        else if (line.Length != 0)
        {
            Console.WriteLine(line);
        }
    }

    [GeneratedRegex(@"^process (\d+) (serves|ended)\b")]
    private static partial Regex LinePattern();
}
