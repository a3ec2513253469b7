using TransportBench.Client;
using TransportBench.CommandLine;
using TransportBench.Servers;

namespace TransportBench;

/// <summary>Compares the transports of Kestrel; see README.md. The same program is the servers and a client.</summary>
internal static class Program
{
    // Not async: a child is killed by the kernel when the thread that started it ends, and this one ends last.
    private static int Main(string[] args) => args switch
    {
        ["--role", "server", .. string[] rest] => ServerRole.Run(rest),
        ["--role", "client"] => ClientRole.Run(),
        _ => BenchCommand.Run(args),
    };
}
