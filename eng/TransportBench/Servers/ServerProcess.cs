using System.Diagnostics;
using System.Text.Json;
using TransportBench.Processes;

namespace TransportBench.Servers;

/// <summary>How a scenario wants its servers.</summary>
/// <param name="Processors">Where they run.</param>
/// <param name="UsesServerCollector">
/// Whether with the collector that ASP.NET Core applications have by default. Without it, memory can be counted: it
/// keeps no reserves for each processor.
/// </param>
internal sealed record ServerSettings(Processors Processors, bool UsesServerCollector = true)
{
    public static readonly ServerSettings Pinned = new(Processors.Pinned);
    public static readonly ServerSettings Shared = new(Processors.Shared);
}

/// <summary>A server in a process of its own, seen from here. Ended by <see cref="Dispose"/>.</summary>
internal sealed class ServerProcess : IDisposable
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(30);

    private readonly ChildProcess _process;

    private ServerProcess(Transport transport, ChildProcess process, Endpoints endpoints)
    {
        Transport = transport;
        _process = process;
        Endpoints = endpoints;
    }

    public Transport Transport { get; }

    public Endpoints Endpoints { get; }

    public int Id => _process.Id;

    /// <summary>From the start of the process until it listened on all endpoints.</summary>
    public TimeSpan StartUpTime { get; private init; }

    /// <summary>What it has logged: nothing, if all is well.</summary>
    public string Errors => _process.Errors;

    /// <summary>Starts a server and waits until it listens.</summary>
    /// <exception cref="LoadFailedException">It ended, or took too long.</exception>
    public static ServerProcess Start(Transport transport, ServerSettings settings)
    {
        string socket = WorkFolder.NewPath("sock");
        long start = Stopwatch.GetTimestamp();
        bool isBefore = transport == Transport.Before;
        IReadOnlyList<string> program = isBefore ? ["dotnet", Programs.Before!] : Programs.SelfOn(transport.Runtime);
        ChildProcess process = ChildProcess.Start(
            [.. program, "--role", "server", (isBefore ? Transport.Epoll : transport.Kind).Name, socket],
            settings.Processors.Server,
            new Dictionary<string, string>(transport.Runtime is null ? [] : [OtherRuntime.RollForward])
            {
                ["DOTNET_gcServer"] = settings.UsesServerCollector ? "1" : "0",
            });
        try
        {
            string line = ReadLine(process);
            TimeSpan startUpTime = Stopwatch.GetElapsedTime(start);
            Endpoints endpoints = JsonSerializer.Deserialize(line, ServerJsonContext.Default.Endpoints)!;
            if (transport.Runtime is { } runtime && endpoints.Runtime?.StartsWith(runtime.Title, StringComparison.Ordinal) != true)
            {
                throw new LoadFailedException($"{transport.Title}: the server runs on {endpoints.Runtime}");
            }

            return new ServerProcess(transport, process, endpoints) { StartUpTime = startUpTime };
        }
        catch
        {
            process.Dispose();
            throw;
        }
    }

    /// <summary>Takes the server off the processors until <see cref="Resume"/>.</summary>
    public void Pause() => Signals.SendStop(Id);

    public void Resume() => Signals.SendContinue(Id);

    public RuntimeState GetState() => Ask(ServerCommands.State);

    /// <summary>The state after everything that nobody refers to was collected.</summary>
    public RuntimeState CollectAndGetState() => Ask(ServerCommands.Collect);

    public void Dispose() => _process.Dispose();

    private RuntimeState Ask(string command)
    {
        _process.Input.WriteLine(command);
        _process.Input.Flush();
        return JsonSerializer.Deserialize(ReadLine(_process), ServerJsonContext.Default.RuntimeState)!;
    }

    private static string ReadLine(ChildProcess process)
    {
        Task<string?> line = process.Output.ReadLineAsync();
        return line.Wait(s_limit) && line.Result is { } text
            ? text
            : throw new LoadFailedException($"a server ended, or did not answer within {s_limit.TotalSeconds:0} s\n{process.Errors}");
    }
}
