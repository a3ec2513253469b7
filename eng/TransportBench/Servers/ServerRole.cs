using System.Runtime;
using System.Runtime.InteropServices;
using System.Text.Json;
using TransportBench.Servers.Floor;

namespace TransportBench.Servers;

/// <summary>The program as a server: <c>--role server TRANSPORT UNIX-SOCKET</c>.</summary>
internal static class ServerRole
{
    /// <summary>Serves until standard input ends.</summary>
    public static int Run(string[] args)
    {
        (string name, string unixSocket) = (args[0], args[1]);
        Transport transport = Transport.All.First(t => t.Name == name);
        using IBenchServer server = transport == Transport.Floor ? FloorServer.Start() : KestrelServer.Start(transport, unixSocket);
        Endpoints endpoints = server.Endpoints with { Runtime = RuntimeInformation.FrameworkDescription };
        Say(JsonSerializer.Serialize(endpoints, ServerJsonContext.Default.Endpoints));
        while (Console.ReadLine() is { } command)
        {
            if (command == ServerCommands.Collect)
            {
                CollectEverything();
            }

            Say(JsonSerializer.Serialize(GetState(), ServerJsonContext.Default.RuntimeState));
        }

        return 0;
    }

    private static void Say(string line)
    {
        Console.Out.WriteLine(line);
        Console.Out.Flush();
    }

    // Twice: what has a finalizer goes with the second collection only.
    private static void CollectEverything()
    {
        for (int i = 0; i < 2; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }
    }

    private static RuntimeState GetState() => new(
        GC.GetTotalMemory(forceFullCollection: false),
        GC.CollectionCount(0),
        GC.CollectionCount(1),
        GC.CollectionCount(2),
        GC.GetTotalAllocatedBytes(),
        ThreadPool.ThreadCount,
        JitInfo.GetCompiledMethodCount());
}
