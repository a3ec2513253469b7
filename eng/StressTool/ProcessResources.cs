namespace StressTool;

/// <summary>What the process holds of the kernel, as the kernel tells it.</summary>
internal static class ProcessResources
{
    /// <summary>Threads that come and go as the runtime likes; all others are somebody's.</summary>
    private static readonly string[] s_runtimeThreads =
        [".NET TP", ".NET Tiered", ".NET Timer", ".NET Sockets", ".NET SigHandler", ".NET Long", ".NET Server GC", ".NET BGC"];

    /// <summary>
    /// Descriptor numbers and what they are open on, such as socket:[4711]. Files are left out: the runtime opens
    /// an assembly when it is first needed.
    /// </summary>
    public static SortedDictionary<int, string> Descriptors()
    {
        var result = new SortedDictionary<int, string>();
        foreach (string path in Directory.EnumerateFileSystemEntries("/proc/self/fd"))
        {
            try
            {
                if (new FileInfo(path).LinkTarget is { } target && !target.StartsWith('/'))
                {
                    result[int.Parse(Path.GetFileName(path), provider: null)] = target;
                }
            }
            catch (IOException)
            {
                // Closed meanwhile: the enumeration's own descriptor is one of these.
            }
        }

        return result;
    }

    /// <summary>
    /// The fewest that are open within a second: a baseline that counted what is still being closed would hide as
    /// many leaks. What was forgotten and merely waits for its finalizer goes first.
    /// </summary>
    public static async Task<SortedDictionary<int, string>> SettledDescriptorsAsync()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        SortedDictionary<int, string> fewest = Descriptors();
        for (int i = 0; i < 20; i++)
        {
            await Task.Delay(50);
            SortedDictionary<int, string> now = Descriptors();
            fewest = now.Count < fewest.Count ? now : fewest;
        }

        return fewest;
    }

    public static List<string> Threads()
    {
        var names = new List<string>();
        foreach (string task in Directory.EnumerateDirectories("/proc/self/task"))
        {
            try
            {
                string name = File.ReadAllText(Path.Combine(task, "comm")).TrimEnd();
                if (!s_runtimeThreads.Any(runtime => name.StartsWith(runtime, StringComparison.Ordinal)))
                {
                    names.Add(name);
                }
            }
            catch (IOException)
            {
                // Ended meanwhile.
            }
        }

        names.Sort(StringComparer.Ordinal);
        return names;
    }
}
