namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Tests that count threads or measure time: they run while no other test does.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public class RunsAlone
{
    public const string Name = "alone";
}
