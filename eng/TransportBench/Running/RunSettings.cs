using TransportBench.Scenarios;
using TransportBench.Servers;

namespace TransportBench.Running;

/// <summary>What is compared, and how thoroughly.</summary>
/// <param name="Transports">Sockets first, and its control second.</param>
/// <param name="Scenarios">In the order of the catalog.</param>
/// <param name="Pairs">Rounds: in each, every transport has a turn.</param>
/// <param name="Launches">How often the servers are started, for so many rounds each.</param>
/// <param name="Seconds">How long a turn is.</param>
/// <param name="WarmUpSeconds">The least that a server is asked before its turns count.</param>
/// <param name="CountsSystemCalls">Whether a turn more is traced.</param>
internal sealed record RunSettings(
    IReadOnlyList<Transport> Transports, IReadOnlyList<Scenario> Scenarios, int Pairs, int Launches, double Seconds, double WarmUpSeconds,
    bool CountsSystemCalls)
{
    /// <summary>Where the JIT has had so long, two windows in succession have to agree.</summary>
    public const double ThoroughWarmUpSeconds = 15;
}
