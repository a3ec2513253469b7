namespace RandomEnds.Plans;

internal enum Family
{
    Tcp,
    Unix,
}

/// <summary>What the two sides do until one of them ends the connection.</summary>
internal enum Script
{
    /// <summary>Requests and answers, one after the other; some are read in two parts.</summary>
    Request,

    /// <summary>The client sends much, the application reads it with pauses.</summary>
    Upload,

    /// <summary>The application sends much, the client reads it in parts.</summary>
    Download,

    /// <summary>Both send much at the same time.</summary>
    Upgrade,

    /// <summary>Many small requests in one segment, answered one by one.</summary>
    Pipeline,
}

/// <summary>Who ends the connection, and how.</summary>
internal enum End
{
    /// <summary>close(2) with nothing unread: FIN.</summary>
    ClientClose,

    /// <summary>shutdown(SHUT_WR); the client still reads.</summary>
    ClientHalfClose,

    /// <summary>SO_LINGER {1, 0} and close on TCP; on a unix socket a close with unread bytes.</summary>
    ClientReset,
    AbortNull,
    AbortReason,
    OutputComplete,
    OutputCompleteError,
    InputComplete,
    Dispose,

    /// <summary>A timer aborts with a reason while the application waits for data.</summary>
    IdleTimeout,

    /// <summary>IConnectionSocketFeature.Socket is closed.</summary>
    SocketClose,
}

/// <summary>What the application does once ConnectionClosed has told it of the client's end.</summary>
internal enum Reaction
{
    /// <summary>It reads without regard to the token.</summary>
    ReadOn,

    /// <summary>It waits for the token, then reads.</summary>
    ReadLate,

    /// <summary>Abort(null) in the token's callback: what Kestrel does to every FIN.</summary>
    AbortNull,

    /// <summary>Abort(null) in the callback, and the read starts only after it.</summary>
    AbortNullReadLate,
    AbortReason,

    /// <summary>Completes the output, then reads.</summary>
    CompleteOutput,

    /// <summary>Writes, then reads.</summary>
    Answer,
}

/// <summary>How the application reads what is left.</summary>
internal enum ReadingStyle
{
    /// <summary>All of every buffer.</summary>
    Whole,

    /// <summary>A few bytes of every buffer: the rest comes back with the next read.</summary>
    Portions,

    /// <summary>Examines everything, and consumes nothing before the end.</summary>
    Hoard,

    /// <summary>All of every buffer, with a pause before the first few.</summary>
    Slow,
}

internal enum StepKind
{
    /// <summary>In the background: what the kernel does not take waits until the application reads.</summary>
    ClientSends,
    ApplicationReads,

    /// <summary>In the background: what the kernel does not take waits until the client receives.</summary>
    ApplicationFlushes,
    ClientReceives,
    ApplicationPauses,
}

/// <summary>One step of a script; the next begins when it is done, those in the background when they have begun.</summary>
internal readonly record struct Step(StepKind Kind, int Bytes)
{
    public override string ToString() => $"{Kind} {Bytes}";
}
