using RandomEnds.Plans;
using RandomEnds.Running;
using RandomEnds.Transports;

namespace RandomEnds.Judging;

/// <summary>
/// Compares what was seen over one of our modes with what was seen over Sockets. What depends on time is left out by
/// <see cref="IsRacy"/>, what is meant to differ by <see cref="WhyAllowed"/>: everything else has to be equal.
/// </summary>
internal static class Comparison
{
    public const string Rule = "6 as on Sockets";

    private enum Field
    {
        Read,
        ReadEnd,
        ReadAgain,
        UnreadAtToken,
        Received,
        ClientEnd,
    }

    public static IEnumerable<Finding> Judge(CasePlan plan, Observation sockets, Observation ours)
    {
        if (!sockets.IsWhole || !ours.IsWhole)
        {
            yield break;
        }

        foreach (Field field in Enum.GetValues<Field>())
        {
            object? theirs = ValueOf(field, plan, sockets);
            object? value = ValueOf(field, plan, ours);
            if (!Equals(theirs, value) && !IsRacy(field, plan) && WhyAllowed(field, plan) is null)
            {
                yield return new Finding(ours.Subject, $"{Rule}: {field}", $"{value ?? "nothing"}; on Sockets {theirs ?? "nothing"}");
            }
        }
    }

    private static object? ValueOf(Field field, CasePlan plan, Observation seen) => field switch
    {
        Field.Read => seen.Read,
        // Which of the exceptions of a disposed socket the application gets is up to its implementation.
        Field.ReadEnd or Field.ReadAgain when plan.End == End.SocketClose => seen.ReadEnd != Observation.CleanEnd,
        Field.ReadEnd => seen.ReadEnd,
        Field.ReadAgain => seen.ReadAgain,
        // Whether the application had yet to read when it was told.
        Field.UnreadAtToken => seen.UnreadAtToken > Limits.MaxReadBufferSize + Limits.Slack,
        Field.Received => seen.Received,
        Field.ClientEnd => seen.ClientEnd,
        _ => throw new ArgumentOutOfRangeException(nameof(field)),
    };

    /// <summary>Depends, on Sockets at least, on which of its two loops is first.</summary>
    private static bool IsRacy(Field field, CasePlan plan) => field switch
    {
        // Its pipe drops what it has not yet given to the application when the reset comes, and one loop may take the
        // error from the other.
        Field.UnreadAtToken => plan.End == End.ClientReset,
        Field.Read or Field.ReadEnd or Field.ReadAgain => plan.End is End.ClientReset or End.SocketClose,
        // An abort drops what its second loop has not yet sent.
        Field.Received => IsAbort(plan) && !(plan.Settles && !plan.IsEndOfClient),
        // A close of Sockets' socket is a reset while one of its calls is under way, and a FIN between two of them. So the application
        // may be told of an end, too, which ours never does.
        Field.ClientEnd => plan.End == End.SocketClose,
        _ => false,
    };

    /// <summary>The row of the README's "Where it differs from Sockets" that says so, or null.</summary>
    private static string? WhyAllowed(Field field, CasePlan plan) => (field, plan) switch
    {
        (Field.ClientEnd or Field.Received, { IsEndOfClient: false, Unread: > 0 }) => "we end a connection before the client does",
        (Field.Received, { End: End.OutputCompleteError }) => "Output.Complete(exception) after bytes were flushed",
        _ => null,
    };

    private static bool IsAbort(CasePlan plan) => plan.End switch
    {
        End.ClientReset or End.AbortNull or End.AbortReason or End.OutputCompleteError or End.IdleTimeout or End.SocketClose => true,
        End.ClientHalfClose => plan.Reaction is Reaction.AbortNull or Reaction.AbortNullReadLate or Reaction.AbortReason,
        _ => false,
    };
}
