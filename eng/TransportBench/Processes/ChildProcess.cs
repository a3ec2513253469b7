using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace TransportBench.Processes;

/// <summary>
/// A process that this one started, and that doesn't outlive it: it is ended on <see cref="Dispose"/>, by
/// <see cref="EndAll"/>, and by the kernel when this process dies in any other way.
/// </summary>
/// <remarks>
/// To be started on the main thread only: PR_SET_PDEATHSIG, prctl(2), is about the thread that started the child.
/// </remarks>
internal sealed class ChildProcess : IDisposable
{
    private static readonly List<ChildProcess> s_alive = [];

    private readonly Process _process;
    private readonly string _name;
    private readonly StringBuilder _errors = new();

    private ChildProcess(Process process, string name)
    {
        _name = name;
        _process = process;
        process.ErrorDataReceived += (_, e) =>
        {
            lock (_errors)
            {
                _errors.AppendLine(e.Data);
            }
        };
        process.BeginErrorReadLine();
    }

    public int Id => _process.Id;

    public StreamReader Output => _process.StandardOutput;

    public StreamWriter Input => _process.StandardInput;

    /// <summary>What it has written to its standard error so far.</summary>
    public string Errors
    {
        get
        {
            lock (_errors)
            {
                return _errors.ToString().Trim();
            }
        }
    }

    /// <summary>Starts a program; its three standard streams are ours.</summary>
    /// <param name="command">The program, looked for along PATH, and its arguments.</param>
    /// <param name="processors">The processors that it may use.</param>
    /// <param name="environment">What is added to the environment.</param>
    public static ChildProcess Start(
        IReadOnlyList<string> command, IReadOnlyList<int> processors, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo("setpriv")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false),
        };

        // Each of these replaces itself by the next, so the number of the process stays the same.
        string list = string.Join(',', processors.Select(static p => p.ToString(CultureInfo.InvariantCulture)));
        foreach (string word in (IEnumerable<string>)["--pdeathsig", "KILL", "taskset", "--cpu-list", list, .. command])
        {
            start.ArgumentList.Add(word);
        }

        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        lock (s_alive)
        {
            var child = new ChildProcess(Process.Start(start)!, Path.GetFileName(command[0]));
            s_alive.Add(child);
            return child;
        }
    }

    /// <summary>
    /// Runs a program to its end; returns its standard output.
    /// </summary>
    /// <exception cref="LoadFailedException">It failed, or took longer than it may.</exception>
    public static string Run(
        IReadOnlyList<string> command, IReadOnlyList<int> processors, TimeSpan limit, string input = "")
    {
        using ChildProcess child = Start(command, processors);
        child.Input.Write(input);
        return child.ReadToEnd(limit);
    }

    /// <summary>Waits until a program ends by itself; returns its standard output.</summary>
    /// <exception cref="LoadFailedException">It failed, or took longer than it may.</exception>
    public string ReadToEnd(TimeSpan limit)
    {
        Input.Close();
        Task<string> output = Output.ReadToEndAsync();
        if (!_process.WaitForExit(limit))
        {
            throw new LoadFailedException($"{_name} did not end within {limit.TotalSeconds:0} s");
        }

        // Without a limit: waits for the last lines of the redirected streams too.
        _process.WaitForExit();
        string text = output.Result;
        return _process.ExitCode == 0
            ? text
            : throw new LoadFailedException($"{_name} exited with {_process.ExitCode}\n{text}\n{Errors}");
    }

    /// <summary>Ends whatever still runs. For any thread.</summary>
    public static void EndAll()
    {
        lock (s_alive)
        {
            foreach (ChildProcess child in s_alive)
            {
                child._process.Kill();
            }
        }
    }

    public bool WaitForExit(TimeSpan limit) => _process.WaitForExit(limit);

    public void Dispose()
    {
        lock (s_alive)
        {
            if (!s_alive.Remove(this))
            {
                return;
            }
        }

        // SIGKILL also ends a process that is stopped.
        _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
    }
}
