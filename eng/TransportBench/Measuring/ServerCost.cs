using System.Diagnostics;
using TransportBench.Processes;
using TransportBench.Servers;

namespace TransportBench.Measuring;

/// <summary>What a load costs the server, and the generator.</summary>
internal sealed class ServerCost
{
    private const double Mebibyte = 1024 * 1024;

    private readonly ServerProcess _server;
    private readonly RuntimeState _stateBefore;
    private readonly ContextSwitches _switchesBefore;
    private readonly CpuTime _serverBefore;
    private readonly CpuTime _clientBefore;
    private readonly double _machineBefore;
    private readonly long _start;

    private ServerCost(ServerProcess server)
    {
        _server = server;
        _stateBefore = server.GetState();
        _clientBefore = ProcessFiles.GetEndedChildrenTime();
        _switchesBefore = ContextSwitches.Read(server.Id);
        _serverBefore = ProcessFiles.GetCpuTime(server.Id);
        _machineBefore = ProcessFiles.GetMachineSeconds();
        _start = Stopwatch.GetTimestamp();
    }

    /// <summary>Begins to count. The load's processes have to begin and to end before <see cref="AddTo"/>.</summary>
    public static ServerCost Begin(ServerProcess server) => new(server);

    /// <param name="sample">Is given the figures.</param>
    /// <param name="requests">That were answered since <see cref="Begin"/>.</param>
    /// <param name="processors">Where both ran.</param>
    /// <param name="clientThreads">How many the generator has.</param>
    public void AddTo(Sample sample, long requests, Processors processors, int clientThreads)
    {
        double seconds = Stopwatch.GetElapsedTime(_start).TotalSeconds;
        CpuTime server = ProcessFiles.GetCpuTime(_server.Id) - _serverBefore;
        CpuTime client = ProcessFiles.GetEndedChildrenTime() - _clientBefore;
        double others = ProcessFiles.GetMachineSeconds() - _machineBefore - server.Total - client.Total;
        long switches = ContextSwitches.Read(_server.Id).Since(_switchesBefore);
        RuntimeState state = _server.GetState();

        double perRequest = 1e6 / Math.Max(1, requests);
        sample[Figures.ProcessorTime] = server.Total * perRequest;
        sample[Figures.UserTime] = server.User * perRequest;
        sample[Figures.SystemTime] = server.System * perRequest;
        sample[Figures.ContextSwitches] = switches / (double)Math.Max(1, requests);
        sample[Figures.ServerBusy] = 100 * server.Total / seconds / processors.Server.Count;
        sample[Figures.ClientBusy] = 100 * client.Total / seconds / Math.Min(clientThreads, processors.Load.Count);
        sample[Figures.OthersBusy] = 100 * Math.Max(0, others) / seconds / Environment.ProcessorCount;
        sample[Figures.Resident] = ProcessFiles.GetResidentBytes(_server.Id) / Mebibyte;
        sample[Figures.Heap] = state.HeapBytes / Mebibyte;
        sample[Figures.Allocated] = (state.AllocatedBytes - _stateBefore.AllocatedBytes) / (double)Math.Max(1, requests);
        sample[Figures.Generation0] = state.Generation0 - _stateBefore.Generation0;
        sample[Figures.Generation1] = state.Generation1 - _stateBefore.Generation1;
        sample[Figures.Generation2] = state.Generation2 - _stateBefore.Generation2;
    }
}
