namespace KestrelEpollTransport.Tests;

/// <summary>Tests that count descriptors, threads or allocations, or measure time: they run while no other test does.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public class RunsAlone
{
    public const string Name = "alone";
}
