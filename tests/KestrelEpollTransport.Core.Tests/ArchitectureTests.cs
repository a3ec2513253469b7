using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

namespace KestrelEpollTransport.Tests;

/// <summary>The rules of the house that a compiler does not know.</summary>
public partial class ArchitectureTests
{
    /// <summary>From top to bottom: a folder may use those below it. The last two are leaves, and use nothing of ours.</summary>
    private static readonly string[][] s_storeys =
    [
        ["Listening", "Connecting"], ["Connections"], ["Scheduling"], ["Loops"], ["Polling"], ["Native"], ["Buffers", "Diagnostics"],
    ];

    [Fact]
    public void Folders_UseOnlyWhatIsBelowThem()
    {
        List<string> wrong = [];
        foreach ((string folder, string name, string text) in Sources())
        {
            foreach (Match used in UsedFolder().Matches(text))
            {
                if (folder.Length > 0 && Storey(used.Groups[1].Value) <= Storey(folder) && used.Groups[1].Value != folder)
                {
                    wrong.Add($"{folder}/{name} uses {used.Groups[1].Value}");
                }
            }
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public void OperatingSystem_IsNamedInPollingAndNativeOnly()
    {
        Regex kernel = KernelWord();
        Assert.Matches(kernel, "if (OperatingSystem.IsLinux())");
        Assert.All(
            Sources().Where(source => source.Folder is not ("Polling" or "Native")),
            source => Assert.False(kernel.IsMatch(source.Text), $"{source.Folder}/{source.Name} names {kernel.Match(source.Text).Value}."));
    }

    [Fact]
    public void Loops_NeverNameAConnection() =>
        Assert.All(Sources().Where(source => source.Folder == "Loops"), source => Assert.DoesNotContain("EpollConnection", source.Text, StringComparison.Ordinal));

    [Fact]
    public void Files_StayShort() =>
        Assert.All(Sources(), source => Assert.True(source.Text.Count(c => c == '\n') <= 450, $"{source.Name} has more than 450 lines."));

    private static int Storey(string folder)
    {
        int storey = Array.FindIndex(s_storeys, names => names.Contains(folder));
        Assert.True(storey >= 0, $"The folder {folder} has no place in the house.");
        return storey;
    }

    private static List<(string Folder, string Name, string Text)> Sources([CallerFilePath] string here = "")
    {
        string root = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "../../src/KestrelEpollTransport.Core"));
        List<(string Folder, string Name, string Text)> sources = [];
        foreach (string path in Directory.EnumerateFiles(root, "*.cs", SearchOption.AllDirectories))
        {
            string relative = Path.GetRelativePath(root, path);
            if (!relative.StartsWith("obj", StringComparison.Ordinal) && !relative.StartsWith("bin", StringComparison.Ordinal))
            {
                sources.Add((Path.GetDirectoryName(relative)!, Path.GetFileName(path), File.ReadAllText(path)));
            }
        }

        Assert.True(sources.Count > 30, $"Only {sources.Count} sources found under {root}.");
        return sources;
    }

    [GeneratedRegex(@"^using (?:static )?KestrelEpollTransport\.(\w+)", RegexOptions.Multiline)]
    private static partial Regex UsedFolder();

    [GeneratedRegex(@"\b(EPOLL\w+|epoll_(?!transport)\w+|eventfd|Tmds\.|IsLinux|IsMacOS|IsFreeBSD|IsWindows)\b")]
    private static partial Regex KernelWord();
}
