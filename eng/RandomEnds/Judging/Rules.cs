using RandomEnds.Plans;
using RandomEnds.Running;
using RandomEnds.Transports;

namespace RandomEnds.Judging;

/// <summary>
/// What holds in every case, however its threads are timed. Sockets has to keep the same rules, less what it is
/// known not to: it may lose bytes before a reset, and may call one a clean end.
/// </summary>
internal static class Rules
{
    public const string Prefix = "1 bytes are a prefix";
    public const string CleanEnd = "2 clean end behind all bytes";
    public const string Reset = "3 reset behind all bytes";
    public const string OwnEnd = "4 the application's own end";
    public const string Liveness = "5 nothing hangs or surprises";

    private const string ResetError = "ConnectionResetException: ";
    private const string GracefulError = "ConnectionAbortedException: ... send loop completed gracefully.";

    public static IEnumerable<Finding> Judge(CasePlan plan, Observation seen)
    {
        IEnumerable<(string Rule, string? What)> found =
        [
            .. seen.WrongBytes.Select(static what => (Prefix, (string?)what)),
            .. seen.Surprises.Select(static what => (Liveness, (string?)what)),
            (Liveness, seen.HungWhile is null ? null : $"hung while {seen.HungWhile}"),
        ];

        // Of a case that did not run to its end nothing more is known.
        if (seen.IsWhole)
        {
            found = found.Concat(plan switch
            {
                { IsCleanEnd: true } => JudgeCleanEnd(plan, seen),
                { End: End.ClientReset } => JudgeReset(plan, seen),
                _ => JudgeOwnEnd(plan, seen),
            });
        }

        return found.Where(static f => f.What is not null).Select(f => new Finding(seen.Subject, f.Rule, f.What!));
    }

    private static IEnumerable<(string Rule, string? What)> JudgeCleanEnd(CasePlan plan, Observation seen)
    {
        yield return (CleanEnd, Unless(seen.Read == plan.Sent, $"read {seen.Read} of {plan.Sent} bytes"));
        yield return (CleanEnd, Unless(seen.ReadEnd == Observation.CleanEnd, $"the stream ended with {seen.ReadEnd}"));
        yield return (CleanEnd, Unless(seen.ReadAgain == seen.ReadEnd, $"then one more read said {seen.ReadAgain}"));
        yield return (CleanEnd, Unless(
            seen.UnreadAtToken <= Limits.MaxReadBufferSize + Limits.Slack,
            $"ConnectionClosed fired with {seen.UnreadAtToken} bytes unread, more than the application lets be received"));
        if (plan.End == End.ClientHalfClose)
        {
            yield return (OwnEnd, plan.Reaction switch
            {
                Reaction.AbortNull or Reaction.AbortNullReadLate => JudgeClient(plan, seen, Observation.Eof, whole: false),
                Reaction.AbortReason => JudgeClient(plan, seen, AbortOf(plan), whole: false),
                _ => JudgeClient(plan, seen, Observation.Eof, whole: true),
            });
        }
    }

    private static IEnumerable<(string Rule, string? What)> JudgeReset(CasePlan plan, Observation seen)
    {
        bool isReset = seen.ReadEnd!.StartsWith(ResetError, StringComparison.Ordinal);
        bool isSockets = seen.Subject == Subject.Sockets;
        // Where it also sends, its send may take the socket's error, and its receive then sees the end of the stream.
        bool mayMistake = isSockets && seen.Flushed > 0;
        yield return (Reset, Unless(isReset || (mayMistake && seen.ReadEnd == Observation.CleanEnd), $"the stream ended with {seen.ReadEnd}"));
        yield return (Reset, Unless(seen.ReadAgain == seen.ReadEnd, $"then one more read said {seen.ReadAgain}"));
        yield return (Reset, Unless(
            isSockets || !seen.AllArrived || seen.Read == plan.Sent,
            $"read {seen.Read} of {plan.Sent} bytes, all of which the kernel had"));
        yield return (Liveness, Unless(
            plan.Outstanding < Limits.SurelyPending || seen.FlushIsCompleted == true,
            "the pending flush ended, and IsCompleted is false"));
    }

    private static IEnumerable<(string Rule, string? What)> JudgeOwnEnd(CasePlan plan, Observation seen)
    {
        int before = plan.Sent - plan.Unread;

        // Sockets' own socket, closed between two of its receives: then it reads on, and may be told of an end.
        bool isRacy = plan.End == End.SocketClose && seen.Subject == Subject.Sockets;
        if (!isRacy && plan.End is not (End.Dispose or End.InputComplete))
        {
            bool isExpected = plan.End switch
            {
                End.AbortNull or End.OutputComplete => seen.ReadEnd == GracefulError,
                End.AbortReason or End.IdleTimeout => seen.ReadEnd == $"ConnectionAbortedException: {Application.Reason}",
                End.OutputCompleteError => seen.ReadEnd == $"InvalidOperationException: {Application.Error}",
                _ => seen.ReadEnd != Observation.CleanEnd,
            };
            yield return (OwnEnd, Unless(isExpected, $"the next read said {seen.ReadEnd}"));
            yield return (OwnEnd, Unless(seen.ReadAgain == seen.ReadEnd, $"then one more read said {seen.ReadAgain}"));
            yield return (OwnEnd, Unless(seen.Read == before, $"the next read returned {seen.Read - before} bytes first"));
        }

        yield return (OwnEnd, plan.End switch
        {
            End.AbortNull => JudgeClient(plan, seen, Observation.Eof, whole: false),
            End.OutputComplete or End.Dispose or End.InputComplete => JudgeClient(plan, seen, Observation.Eof, whole: true),
            // Sockets' own socket is closed, and that resets only while one of its calls is under way.
            End.SocketClose when seen is { Subject: Subject.Sockets, ClientEnd: Observation.Eof } => null,
            _ => JudgeClient(plan, seen, AbortOf(plan), whole: false),
        });
    }

    private static string? JudgeClient(CasePlan plan, Observation seen, string end, bool whole)
    {
        // A kernel resets when a socket is closed with unread bytes. Ours reads up to its limit of them before it closes.
        bool unread = !plan.IsEndOfClient && plan.Unread > 0;
        bool mayReset = unread && (seen.Subject == Subject.Sockets || !plan.FitsAhead || end != Observation.Eof || IsUnixAbort(plan));
        if (seen.ClientEnd != end && !(mayReset && seen.ClientEnd == Observation.Reset))
        {
            return $"the client saw {seen.ClientEnd} instead of {end}";
        }

        int least = whole && !mayReset ? seen.Flushed : plan.Flushed - (plan.Settles && !plan.IsEndOfClient ? 0 : plan.Outstanding);
        return Unless(seen.Received >= least && seen.Received <= seen.Flushed, $"the client received {seen.Received} of {seen.Flushed} bytes");
    }

    private static bool IsUnixAbort(CasePlan plan) =>
        plan.Family == Family.Unix && plan.End is End.AbortReason or End.OutputCompleteError or End.SocketClose;

    /// <summary>What a client sees of a reset: unix sockets have none.</summary>
    private static string AbortOf(CasePlan plan) => plan.Family == Family.Tcp ? Observation.Reset : Observation.Eof;

    private static string? Unless(bool holds, string what) => holds ? null : what;
}
