using System.Diagnostics.CodeAnalysis;
using KestrelEpollTransport.Tests.Simulation;
using Atomic = System.Threading.Interlocked;
using Plain = System.Threading.Volatile;

// Nearer to the product's code than the runtime's namespaces, so that these are what it calls.
namespace KestrelEpollTransport;

/// <summary>A step of the simulated machine before and after each operation on what threads share: others may go on first.</summary>
internal static class Step
{
    [ThreadStatic]
    private static int s_locks;

    /// <summary>Who holds a lock goes on: what it does is one operation to the others.</summary>
    public static void Take()
    {
        if (s_locks == 0)
        {
            SimThread.Current?.Machine.Step();
        }
    }

    public static void Enter()
    {
        Take();
        s_locks++;
    }

    public static void Exit()
    {
        s_locks--;
        Take();
    }

    public static ref T Of<T>(ref T word)
    {
        Take();
        return ref word;
    }

    public static T After<T>(T value)
    {
        Take();
        return value;
    }

    public static ref readonly T OfRead<T>(ref readonly T word)
    {
        Take();
        return ref word;
    }
}

internal static class Interlocked
{
    public static int Increment(ref int word) => Step.After(Atomic.Increment(ref Step.Of(ref word)));

    public static uint Increment(ref uint word) => Step.After(Atomic.Increment(ref Step.Of(ref word)));

    public static long Increment(ref long word) => Step.After(Atomic.Increment(ref Step.Of(ref word)));

    public static int Decrement(ref int word) => Step.After(Atomic.Decrement(ref Step.Of(ref word)));

    public static int Add(ref int word, int value) => Step.After(Atomic.Add(ref Step.Of(ref word), value));

    public static long Add(ref long word, long value) => Step.After(Atomic.Add(ref Step.Of(ref word), value));

    public static int And(ref int word, int value) => Step.After(Atomic.And(ref Step.Of(ref word), value));

    public static long And(ref long word, long value) => Step.After(Atomic.And(ref Step.Of(ref word), value));

    public static int Or(ref int word, int value) => Step.After(Atomic.Or(ref Step.Of(ref word), value));

    public static long Or(ref long word, long value) => Step.After(Atomic.Or(ref Step.Of(ref word), value));

    public static T Exchange<T>(ref T word, T value) => Step.After(Atomic.Exchange(ref Step.Of(ref word), value));

    public static T CompareExchange<T>(ref T word, T value, T comparand) => Step.After(Atomic.CompareExchange(ref Step.Of(ref word), value, comparand));

    public static void MemoryBarrier() => Atomic.MemoryBarrier();
}

internal static class Volatile
{
    public static bool Read(ref readonly bool word) => Plain.Read(in Step.OfRead(in word));

    public static int Read(ref readonly int word) => Plain.Read(in Step.OfRead(in word));

    public static long Read(ref readonly long word) => Plain.Read(in Step.OfRead(in word));

    public static T Read<T>(ref readonly T word)
        where T : class? => Plain.Read(in Step.OfRead(in word));

    // One thread of the machine runs at a time, so an ordinary write is seen by the next.
    public static void Write<T>(ref T word, T value)
    {
        Step.Of(ref word) = value;
        Step.Take();
    }
}

/// <summary>One thread of the machine runs at a time, and none loses its turn while it holds a lock: nobody ever waits for one.</summary>
internal sealed class Lock
{
    private readonly System.Threading.Lock _lock = new();

    public bool TryEnter()
    {
        Enter();
        return true;
    }

    public void Enter()
    {
        Step.Enter();
        _lock.Enter();
    }

    public void Exit()
    {
        _lock.Exit();
        Step.Exit();
    }
}

internal sealed class ConcurrentQueue<T>
{
    private readonly System.Collections.Concurrent.ConcurrentQueue<T> _queue = new();

    public bool IsEmpty => Step.After(Stepped.IsEmpty);

    public int Count => Step.After(Stepped.Count);

    private System.Collections.Concurrent.ConcurrentQueue<T> Stepped
    {
        get
        {
            Step.Take();
            return _queue;
        }
    }

    public void Enqueue(T item)
    {
        Stepped.Enqueue(item);
        Step.Take();
    }

    public bool TryDequeue([MaybeNullWhen(false)] out T item) => Step.After(Stepped.TryDequeue(out item));
}

/// <summary>The runtime's, but that a simulated thread has an id of its own: the real one's depends on what else runs.</summary>
internal static class Environment
{
    public static int CurrentManagedThreadId => SimThread.Current?.Id ?? System.Environment.CurrentManagedThreadId;

    public static bool Is64BitProcess => System.Environment.Is64BitProcess;

    public static int ProcessId => System.Environment.ProcessId;

    public static int ProcessorCount => System.Environment.ProcessorCount;

    public static long TickCount64 => System.Environment.TickCount64;

    public static string? GetEnvironmentVariable(string variable) => System.Environment.GetEnvironmentVariable(variable);

    public static void SetEnvironmentVariable(string variable, string? value) => System.Environment.SetEnvironmentVariable(variable, value);
}

/// <summary>Of a simulated thread: another one.</summary>
internal static class ThreadPool
{
    public static bool UnsafeQueueUserWorkItem(IThreadPoolWorkItem work, bool preferLocal)
    {
        if (SimThread.Current is { } me)
        {
            me.Machine.Start(work.Execute);
            return true;
        }

        return System.Threading.ThreadPool.UnsafeQueueUserWorkItem(work, preferLocal);
    }

    public static bool UnsafeQueueUserWorkItem<T>(Action<T> act, T state, bool preferLocal) =>
        System.Threading.ThreadPool.UnsafeQueueUserWorkItem(act, state, preferLocal);
}
