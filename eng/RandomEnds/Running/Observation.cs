using System.Collections.Concurrent;
using RandomEnds.Transports;

namespace RandomEnds.Running;

/// <summary>
/// What the client and the application saw in one case over one transport. Each member is written by one side; the
/// transcript and the problems by any thread.
/// </summary>
internal sealed class Observation(Subject subject)
{
    /// <summary>What <see cref="ReadEnd"/> says of a stream that ended without an exception.</summary>
    public const string CleanEnd = "a clean end";

    /// <summary>What <see cref="ClientEnd"/> says when the client received 0 bytes.</summary>
    public const string Eof = "EOF";

    /// <summary>What <see cref="ClientEnd"/> says of ECONNRESET.</summary>
    public const string Reset = "a reset";

    private int _read;

    public Subject Subject { get; } = subject;

    /// <summary>Bytes that the application's reads returned, in the whole case. Any thread may ask.</summary>
    public int Read
    {
        get => Volatile.Read(ref _read);
        set => Volatile.Write(ref _read, value);
    }

    /// <summary>How the application's stream ended: <see cref="CleanEnd"/>, or an exception's type and message.</summary>
    public string? ReadEnd { get; set; }

    /// <summary>What one more read said.</summary>
    public string? ReadAgain { get; set; }

    public bool TokenFired { get; set; }

    /// <summary>Bytes sent and not yet returned by a read when the token fired.</summary>
    public int UnreadAtToken { get; set; }

    /// <summary>IsCompleted of the flush that was under way when the end came, or the last one before.</summary>
    public bool? FlushIsCompleted { get; set; }

    /// <summary>All that the client sent was in the server's kernel when it reset.</summary>
    public bool AllArrived { get; set; }

    /// <summary>Bytes given to flushes, in the whole case.</summary>
    public int Flushed { get; set; }

    /// <summary>Bytes that the client received.</summary>
    public int Received { get; set; }

    /// <summary>How the client's stream ended; null if it ended it itself.</summary>
    public string? ClientEnd { get; set; }

    /// <summary>What the case waits for, or waited for when it did not go on.</summary>
    public string Doing { get; set; } = "connecting";

    /// <summary>What the case waited for when its time was over; null if it ended in time.</summary>
    public string? HungWhile { get; set; }

    /// <summary>The case ran to its end, so that everything about it is known.</summary>
    public bool IsWhole => HungWhile is null && Surprises.IsEmpty;

    /// <summary>Wrong bytes.</summary>
    public ConcurrentQueue<string> WrongBytes { get; } = new();

    /// <summary>Exceptions that nothing explains, and the like.</summary>
    public ConcurrentQueue<string> Surprises { get; } = new();

    public ConcurrentQueue<string> Transcript { get; } = new();

    public void Note(string what) => Transcript.Enqueue(what);

    public static string Describe(Exception error)
    {
        // The transports' names differ, the rest does not.
        const string Graceful = "send loop completed gracefully.";
        string message = error.Message.EndsWith(Graceful, StringComparison.Ordinal) ? $"... {Graceful}" : error.Message;
        return $"{error.GetType().Name}: {message}";
    }
}
