using System.Text;
using System.Text.Json.Serialization;

namespace TransportBench.Client;

/// <summary>What the client is to do.</summary>
/// <param name="Groups">Connections of several kinds, all at once.</param>
/// <param name="PhaseEnds">
/// Seconds after the beginning, ascending: the figures of each phase are told apart. The last one ends the load.
/// </param>
internal sealed record LoadPlan(IReadOnlyList<LoadGroup> Groups, IReadOnlyList<double> PhaseEnds)
{
    /// <summary>
    /// Whether the client goes before servers on the same processors, where it may: <see cref="RealTime"/>. It is punctual then as it
    /// would be on a machine of its own.
    /// </summary>
    public bool HasPriority { get; init; }
}

/// <summary>Connections that do the same: each sends a request, waits for the answer, and sends the next one.</summary>
/// <param name="Name">What its figures are called.</param>
/// <param name="Port">Where on 127.0.0.1.</param>
/// <param name="Exchanges">What is sent and expected, in turns, from the first again after the last.</param>
internal sealed record LoadGroup(string Name, int Port, IReadOnlyList<Exchange> Exchanges)
{
    /// <summary>How many. Not used with <see cref="ConnectionsPerSecond"/>.</summary>
    public int Connections { get; init; } = 1;

    /// <summary>Seconds after the beginning.</summary>
    public double StartAfter { get; init; }

    /// <summary>Whether each request has a connection of its own.</summary>
    public bool Reconnects { get; init; }

    /// <summary>
    /// If not 0: connections are opened at this rate, whether or not the former ones were answered, each for one
    /// request. The time of a request then begins when it was due, and includes connecting.
    /// </summary>
    public double ConnectionsPerSecond { get; init; }

    /// <summary>
    /// If not 0: an <see cref="OpenLoop"/> over the <see cref="Connections"/>, and this is its mean rate. The time of a request
    /// then begins when it was due. Not with <see cref="Reconnects"/> or <see cref="ConnectionsPerSecond"/>.
    /// </summary>
    public double RequestsPerSecond { get; init; }

    /// <summary>If not 0: seconds after the beginning, from which on nothing more is due. Only with <see cref="RequestsPerSecond"/>.</summary>
    public double StopAfter { get; init; }

    /// <summary>Whether answers tell how long the request waited on the server: <see cref="PhaseReport.Queueing"/>.</summary>
    public bool TellsQueueing { get; init; }

    /// <summary>Whether connections speak TLS. Only with <see cref="ConnectionsPerSecond"/>.</summary>
    public bool UsesTls { get; init; }

    /// <summary>What is in front of the first bytes of each connection, in one piece with them.</summary>
    public byte[] Preface { get; init; } = [];

    /// <summary>Done once on each new connection, and not counted: an upgrade.</summary>
    public Exchange? Opening { get; init; }
}

/// <summary>A request, and how its answer begins and ends. What isn't so is a wrong answer.</summary>
/// <param name="Request">What is sent.</param>
/// <param name="AnswerStart">The first bytes of the answer.</param>
/// <param name="AnswerEnd">The last bytes of the answer, which occur nowhere else in it.</param>
internal sealed record Exchange(byte[] Request, byte[] AnswerStart, byte[] AnswerEnd)
{
    /// <summary>The first bytes of an answer without a body that refuses the request; none: that would be a wrong answer.</summary>
    public byte[] RefusalStart { get; init; } = [];

    /// <summary>A request that must be answered with status 200.</summary>
    public static Exchange Get(string path, string answerEnd) => new(
        Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "HTTP/1.1 200 OK\r\n"u8.ToArray(),
        Encoding.ASCII.GetBytes(answerEnd));
}

/// <summary>What the client found.</summary>
/// <param name="Groups">In the order of the plan.</param>
/// <param name="ThreadSeconds">Processor time of the client's thread in each phase, user and system.</param>
internal sealed record LoadReport(IReadOnlyList<GroupReport> Groups, IReadOnlyList<double> ThreadSeconds);

/// <summary>The figures of one group.</summary>
/// <param name="Name">The group's.</param>
/// <param name="Phases">In the order of the plan.</param>
/// <param name="FirstError">What failed first; null if nothing did.</param>
internal sealed record GroupReport(string Name, IReadOnlyList<PhaseReport> Phases, string? FirstError)
{
    public long Errors => Phases.Sum(static p => p.Errors);
}

/// <summary>The figures of one group in one phase. Times are in milliseconds.</summary>
/// <param name="Seconds">How long the phase was.</param>
/// <param name="Requests">That were answered in it.</param>
/// <param name="Errors">Wrong answers and failed connections.</param>
/// <param name="Waiting">Requests without an answer when the phase ended. Their times count, as far as they had come.</param>
internal sealed record PhaseReport(
    double Seconds, long Requests, long Errors, long Waiting, double P50, double P90, double P99, double P999, double Max)
{
    public double RequestsPerSecond => Requests / Seconds;

    /// <summary>How punctual the client was; null: not an open loop.</summary>
    public SendingReport? Sending { get; init; }

    /// <summary>Requests that were refused in it. They are none of the others.</summary>
    public long Refused { get; init; }

    /// <summary>How long they waited for that.</summary>
    public double RefusedP99 { get; init; }

    /// <summary>How long requests waited on the server; null: answers do not tell.</summary>
    public QueueingReport? Queueing { get; init; }
}

/// <summary>What an open loop sent in a phase. Times are in milliseconds.</summary>
/// <param name="Due">Requests that were due.</param>
/// <param name="Unsent">
/// Requests that had not left when the phase ended, although a connection was free: what the client did not manage to send.
/// </param>
/// <param name="LagP99">
/// From when a request was due until it left, where a connection was free all the time: how late the client was. Arrivals of a
/// Poisson process see what anybody would see at any moment, so it tells as well how late the client was to see answers.
/// </param>
/// <param name="LagMax">The greatest.</param>
internal sealed record SendingReport(long Due, long Unsent, double LagP99, double LagMax);

/// <summary>What the server said of the time that requests waited there, held against the client's figure. Times are in milliseconds.</summary>
/// <param name="RestP50">Of the time from when a request was due to its answer, what the server did not say was waiting: the handler and the way.</param>
internal sealed record QueueingReport(double P50, double P99, double RestP50, double RestP99);

[JsonSerializable(typeof(LoadPlan))]
[JsonSerializable(typeof(LoadReport))]
internal sealed partial class ClientJsonContext : JsonSerializerContext;
