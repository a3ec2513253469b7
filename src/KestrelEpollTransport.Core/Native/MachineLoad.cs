using System.Diagnostics;
using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace KestrelEpollTransport.Native;

/// <summary>How busy the machine is, as far as its kernel tells. Thread-safe.</summary>
internal class MachineLoad : IDisposable
{
    private const string LoadPath = "/proc/loadavg";
    private const string OnlinePath = "/sys/devices/system/cpu/online";

    /// <summary>A look costs a microsecond, more on large machines; and one answer is for one thread.</summary>
    private static readonly long s_lookEvery = Stopwatch.Frequency / 10_000;

    /// <summary>So many more looks found a crowd lately than found none: a client that computes for a moment is no crowd.</summary>
    private const int Enough = 4;

    /// <summary>So many times that between two looks, and the first says nothing any more.</summary>
    private const int ForgottenAfter = 500;

    private readonly SafeFileHandle? _file;
    private readonly int _processors;

    // Hints: threads may overwrite each other's notes.
    private long _looked;
    private int _score;
    private volatile bool _isCrowded;

    protected MachineLoad(SafeFileHandle? file, int processors)
    {
        _file = file;
        _processors = processors;
    }

    /// <summary>
    /// This machine's; null: nothing is known of it, as where the process may not use all of its processors, or where a container shows figures
    /// of its own. Both would compare the threads of one machine with the processors of another.
    /// </summary>
    public static MachineLoad? Open()
    {
        try
        {
            bool isWhole = new DriveInfo(LoadPath).DriveFormat == "proc" && new DriveInfo(OnlinePath).DriveFormat == "sysfs"
                && CountProcessors(File.ReadAllText(OnlinePath)) == Environment.ProcessorCount;
            return isWhole ? new MachineLoad(File.OpenHandle(LoadPath), Environment.ProcessorCount) : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException or FormatException)
        {
            // Only Linux has these.
            return null;
        }
    }

    /// <summary>
    /// Whether, lately and at this moment, more threads want to run than there are processors, so that one of them waits. False where the
    /// kernel does not tell.
    /// </summary>
    public virtual bool IsCrowded
    {
        get
        {
            long now = Stopwatch.GetTimestamp();
            long sinceLook = now - Volatile.Read(ref _looked);
            if (sinceLook >= s_lookEvery)
            {
                Volatile.Write(ref _looked, now);
                _score = sinceLook < ForgottenAfter * s_lookEvery ? _score : 0;
                bool isCrowded = CountRunnable() > _processors;
                _score = Math.Clamp(_score + (isCrowded ? 1 : -1), 0, 2 * Enough);
                _isCrowded = isCrowded && _score >= Enough;
            }

            return _isCrowded;
        }
    }

    /// <summary>A thread that saw the crowd leaves it: others stay until the next look.</summary>
    public void Relieve() => _isCrowded = false;

    public void Dispose() => _file?.Dispose();

    /// <summary>The threads that run or want to, "… 1.02 RUNNABLE/ALL …", proc_loadavg(5); 0: there is no such number.</summary>
    internal static int CountRunnable(ReadOnlySpan<byte> text)
    {
        ReadOnlySpan<byte> before = text[..Math.Max(text.IndexOf((byte)'/'), 0)];
        return int.TryParse(before[(before.LastIndexOf((byte)' ') + 1)..], CultureInfo.InvariantCulture, out int count) ? count : 0;
    }

    /// <summary>Of a list as "0-3,8,10-11", the kernel's cputopology.rst.</summary>
    internal static int CountProcessors(string list) => list.Split(',').Sum(static range =>
    {
        string[] ends = range.Split('-');
        return int.Parse(ends[^1], CultureInfo.InvariantCulture) - int.Parse(ends[0], CultureInfo.InvariantCulture) + 1;
    });

    private int CountRunnable()
    {
        try
        {
            Span<byte> buffer = stackalloc byte[64];
            return _file is null ? 0 : CountRunnable(buffer[..RandomAccess.Read(_file, buffer, fileOffset: 0)]);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            return 0;
        }
    }
}
