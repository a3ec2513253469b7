namespace KestrelEpollTransport.Native;

/// <summary>A thread of this process as the kernel sees it. Thread-safe.</summary>
internal class KernelThread
{
    [ThreadStatic]
    private static KernelThread? s_threadCurrent;

    private readonly string? _statPath;

    protected KernelThread(string? statPath) => _statPath = statPath;

    /// <summary>The calling thread.</summary>
    public static KernelThread Current
    {
        get => s_threadCurrent ??= Find();

        // For tests that simulate the kernel.
        internal set => s_threadCurrent = value;
    }

    /// <summary>
    /// Whether the thread runs or waits for a processor; false: it is blocked. Null where the kernel does not tell, or cannot at the
    /// moment, as with no descriptor left.
    /// </summary>
    public virtual bool? IsRunnable()
    {
        if (_statPath is null)
        {
            return null;
        }

        try
        {
            // "TID (name) S …", proc_pid_stat(5): the name may contain anything, so the state is behind the last bracket.
            string stat = File.ReadAllText(_statPath);
            return stat.AsSpan(stat.LastIndexOf(')') + 1).TrimStart().StartsWith('R');
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static KernelThread Find()
    {
        try
        {
            // A link to PID/task/TID of who reads it, proc(5). Only Linux has it.
            string? target = new FileInfo("/proc/thread-self").LinkTarget;
            return new KernelThread(target is null ? null : $"/proc/{target}/stat");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return new KernelThread(null);
        }
    }
}
