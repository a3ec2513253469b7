namespace RandomEnds.Plans;

/// <summary>Everything that happens in one case. The seed and the number make the same plan again, on every transport.</summary>
/// <param name="Seed">Of the run.</param>
/// <param name="Number">Of the case in the run.</param>
/// <param name="Script">What <paramref name="Before"/> is a beginning of.</param>
/// <param name="Family">TCP or a unix socket.</param>
/// <param name="End">How the connection ends after those steps.</param>
/// <param name="Reaction">What the application does about an end of the client's.</param>
/// <param name="Reading">How it reads what is left.</param>
/// <param name="ReadsBefore">A read waits already when the end comes. Only where nothing is unread.</param>
/// <param name="Settles">The client has received all that was flushed before an end of the server's.</param>
/// <param name="MayWriteOn">See <see cref="WritesOn"/>.</param>
/// <param name="Start">Where in the pattern the streams of this case begin.</param>
/// <param name="Before">The steps up to the end.</param>
internal sealed record CasePlan(
    int Seed,
    int Number,
    Script Script,
    Family Family,
    End End,
    Reaction Reaction,
    ReadingStyle Reading,
    bool ReadsBefore,
    bool Settles,
    bool MayWriteOn,
    int Start,
    IReadOnlyList<Step> Before)
{
    public int Sent { get; } = Sum(Before, StepKind.ClientSends);

    public int Flushed { get; } = Sum(Before, StepKind.ApplicationFlushes);

    /// <summary>Sent by the client and not read when the end comes.</summary>
    public int Unread { get; } = UnreadAt(End, Sum(Before, StepKind.ClientSends) - Sum(Before, StepKind.ApplicationReads));

    /// <summary>Flushed by the application and not received when the end comes.</summary>
    public int Outstanding => Flushed - Sum(Before, StepKind.ClientReceives);

    /// <summary>So little is unread that both transports receive it ahead, and the kernels' buffers hold it.</summary>
    public bool FitsAhead => Unread <= Limits.SurelyAhead;

    public bool IsEndOfClient => End is End.ClientClose or End.ClientHalfClose or End.ClientReset;

    /// <summary>The client's end reaches the application as one, and is not a reset.</summary>
    public bool IsCleanEnd => End is End.ClientClose or End.ClientHalfClose;

    /// <summary>The application goes on writing, from aside, while the client resets. Only where the kernel takes it.</summary>
    public bool WritesOn => MayWriteOn && End == End.ClientReset && Outstanding <= Limits.SurelyAhead;

    public override string ToString() =>
        $"seed {Seed}, case {Number}: {Script} over {Family}, {End} behind {Unread} unread and {Outstanding} outstanding bytes; "
        + (IsEndOfClient ? $"{Reaction}, {Reading}{(WritesOn ? ", the application writes" : "")}" : Settles ? "settled" : "not settled")
        + (ReadsBefore && Unread == 0 ? ", a read waits" : "");

    private static int UnreadAt(End end, int unread) => end switch
    {
        // Idle is who has nothing to read.
        End.IdleTimeout => 0,
        // Sockets, held back by its full pipe, does not look at the socket and so never learns that it was closed.
        End.SocketClose when unread > Limits.SurelyAhead => 0,
        _ => unread,
    };

    private static int Sum(IReadOnlyList<Step> steps, StepKind kind) => steps.Where(s => s.Kind == kind).Sum(static s => s.Bytes);
}
