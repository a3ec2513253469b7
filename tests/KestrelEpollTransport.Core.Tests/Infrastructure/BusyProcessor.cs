using System.Runtime.InteropServices;

namespace KestrelEpollTransport.Tests;

/// <summary>A processor that two threads want: one that runs a test, and one that computes for as long as the test runs.</summary>
internal static partial class BusyProcessor
{
    /// <summary>Runs <paramref name="action"/> on a thread of its own, which gets about half of a processor.</summary>
    public static void Run(Action action)
    {
        using Barrier start = new(2);
        bool over = false;
        Exception? failure = null;
        Thread other = new(() =>
        {
            UseFirstProcessor();
            start.SignalAndWait();
            while (!Volatile.Read(ref over))
            {
            }
        });
        Thread tested = new(() =>
        {
            UseFirstProcessor();
            start.SignalAndWait();
            try
            {
                action();
            }
#pragma warning disable CA1031 // For the test.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                failure = exception;
            }

            Volatile.Write(ref over, true);
        });
        other.Start();
        tested.Start();
        tested.Join();
        other.Join();
        Assert.Null(failure);
    }

    // Of those that this process may use. For a thread that ends soon.
    private static void UseFirstProcessor()
    {
        const int AnyProcessors = 1024;
        Span<ulong> mask = stackalloc ulong[AnyProcessors / 64];
        Assert.Equal(0, GetAffinity(0, AnyProcessors / 8, mask));
        int word = mask.IndexOfAnyExcept(0UL);
        ulong first = mask[word] & (~mask[word] + 1);
        mask.Clear();
        mask[word] = first;
        Assert.Equal(0, SetAffinity(0, AnyProcessors / 8, mask));
    }

    // sched_setaffinity(2): 0 is the calling thread.
    [LibraryImport("libc", EntryPoint = "sched_getaffinity")]
    private static partial int GetAffinity(int thread, nuint bytes, Span<ulong> mask);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity")]
    private static partial int SetAffinity(int thread, nuint bytes, ReadOnlySpan<ulong> mask);
}
