namespace TransportBench.Processes;

/// <summary>A folder for what a run needs for a moment: scripts, logs, unix sockets. It goes when this process ends.</summary>
internal static class WorkFolder
{
    private static readonly Lazy<string> s_path = new(Create);
    private static int s_count;

    /// <summary>A path in it that was never given before.</summary>
    public static string NewPath(string extension) =>
        Path.Combine(s_path.Value, $"{Interlocked.Increment(ref s_count)}.{extension}");

    private static string Create()
    {
        string path = Directory.CreateTempSubdirectory("transport-bench-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(path, recursive: true);
        return path;
    }
}
