using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace KestrelEpollTransport.Native;

/// <summary>How busy the machine is, as far as its kernel tells. Thread-safe.</summary>
internal partial class MachineLoad : IDisposable
{
    // _SC_NPROCESSORS_ONLN of sysconf(3), in glibc and musl.
    private const int ProcessorsOnline = 84;

    private readonly SafeFileHandle? _file;

    protected MachineLoad(SafeFileHandle? file, int processors)
    {
        _file = file;
        Processors = processors;
    }

    /// <summary>How many processors it has; 0: that is not known.</summary>
    public int Processors { get; }

    /// <summary>This machine's.</summary>
    public static MachineLoad Open()
    {
        try
        {
            // Those of the machine, as the file counts the threads of the machine: a container has its own, or part of one.
            return new MachineLoad(File.OpenHandle("/proc/loadavg"), (int)GetConfiguration(ProcessorsOnline));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Only Linux has it.
            return new MachineLoad(null, 0);
        }
    }

    /// <summary>
    /// Whether more threads want to run than there are processors, so that one of them waits. False where that is not known. It costs a
    /// microsecond.
    /// </summary>
    public virtual bool IsCrowded()
    {
        if (_file is null)
        {
            return false;
        }

        try
        {
            Span<byte> buffer = stackalloc byte[64];
            return CountRunnable(buffer[..RandomAccess.Read(_file, buffer, fileOffset: 0)]) > Processors;
        }
        catch (Exception exception) when (exception is IOException or ObjectDisposedException)
        {
            return false;
        }
    }

    public void Dispose() => _file?.Dispose();

    /// <summary>The threads that run or want to, "… 1.02 RUNNABLE/ALL …", proc_loadavg(5); 0: there is no such number.</summary>
    internal static int CountRunnable(ReadOnlySpan<byte> text)
    {
        ReadOnlySpan<byte> before = text[..Math.Max(text.IndexOf((byte)'/'), 0)];
        return int.TryParse(before[(before.LastIndexOf((byte)' ') + 1)..], CultureInfo.InvariantCulture, out int count) ? count : 0;
    }

    [LibraryImport("libc", EntryPoint = "sysconf")]
    private static partial nint GetConfiguration(int name);
}
