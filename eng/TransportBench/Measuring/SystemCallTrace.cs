using TransportBench.Processes;

namespace TransportBench.Measuring;

/// <summary>Counts the system calls of a process, with strace(1), from the constructor to <see cref="Stop"/>.</summary>
internal sealed class SystemCallTrace : IDisposable
{
    private static readonly TimeSpan s_attaching = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);

    private readonly string _table = WorkFolder.NewPath("strace");
    private readonly ChildProcess _strace;

    public SystemCallTrace(int process)
    {
        _strace = ChildProcess.Start(
            ["strace", "--follow-forks", "--summary-only", $"--attach={process}", $"--output={_table}"], Processors.Shared.Load);

        // It tells when it has attached to a thread, but not when it has to all.
        Thread.Sleep(s_attaching);
    }

    /// <summary>Lets go of the process; returns how often it made each call.</summary>
    /// <exception cref="LoadFailedException">strace could not trace.</exception>
    public IReadOnlyDictionary<string, long> Stop()
    {
        Signals.SendInterrupt(_strace.Id);
        IReadOnlyDictionary<string, long> calls = _strace.WaitForExit(s_limit)
            ? StraceOutput.Parse(File.ReadAllText(_table))
            : new Dictionary<string, long>();
        return calls.Count > 0 ? calls : throw new LoadFailedException($"strace counted nothing\n{_strace.Errors}");
    }

    public void Dispose() => _strace.Dispose();
}
