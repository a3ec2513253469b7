using System.Globalization;
using TransportBench.Processes;

namespace TransportBench.Load;

/// <summary>Connections that have asked once, or never, and are held open until this is disposed: eng/ConnectionHolder.</summary>
internal sealed class IdleConnections : IDisposable
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(120);

    private readonly ChildProcess _holder;

    private IdleConnections(ChildProcess holder) => _holder = holder;

    /// <summary>As many as the process limit of descriptors leaves room for, and not more than asked.</summary>
    public static int AtMost(int count)
    {
        const string Label = "Max open files";
        const int Reserve = 1000;
        string line = File.ReadLines("/proc/self/limits").First(static l => l.StartsWith(Label, StringComparison.Ordinal));
        string hard = line[Label.Length..].Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1];
        return int.TryParse(hard, CultureInfo.InvariantCulture, out int limit) ? Math.Min(count, limit - Reserve) : count;
    }

    /// <summary>Opens connections; returns when all of them are open, and have been answered if they ask.</summary>
    /// <param name="port">On 127.0.0.1.</param>
    /// <param name="count">How many.</param>
    /// <param name="asks">Whether each asks once over HTTP.</param>
    /// <exception cref="LoadFailedException">Not all could be opened.</exception>
    public static IdleConnections Open(int port, int count, bool asks)
    {
        string[] words = [.. Programs.ConnectionHolder, Text(port), Text(count), .. asks ? Array.Empty<string>() : ["--silent"]];
        var connections = new IdleConnections(ChildProcess.Start(words, Processors.Shared.Load));
        Task<string?> line = connections._holder.Output.ReadLineAsync();
        if (line.Wait(s_limit) && line.Result == $"holding {Text(count)}")
        {
            return connections;
        }

        string errors = connections._holder.Errors;
        connections.Dispose();
        throw new LoadFailedException($"{count} idle connections could not be opened\n{errors}");
    }

    public void Dispose() => _holder.Dispose();

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
