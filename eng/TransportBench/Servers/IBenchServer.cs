namespace TransportBench.Servers;

/// <summary>What serves in a server process. Ended by disposing it.</summary>
internal interface IBenchServer : IDisposable
{
    /// <summary>Where it listens.</summary>
    Endpoints Endpoints { get; }
}
