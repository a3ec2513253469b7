using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.FunctionalTests.Documentation;

/// <summary>The repository's pages for users: README.md, everything in docs/, what the packages show, and .github/.</summary>
internal static class Pages
{
    public static readonly string Repository = FindRepository();

    /// <summary>Their paths, relative to the repository.</summary>
    public static IEnumerable<string> All =>
        new[] { "docs", ".github" }.SelectMany(static folder => Directory.EnumerateFiles(Path.Combine(Repository, folder), "*.md"))
            .Concat(Directory.EnumerateFiles(Path.Combine(Repository, "src"), "PACKAGE.md", SearchOption.AllDirectories))
            .Append(Path.Combine(Repository, "README.md"))
            .Select(file => Path.GetRelativePath(Repository, file))
            .Order(StringComparer.Ordinal);

    public static string[] ReadLines(string page) => File.ReadAllLines(Path.Combine(Repository, page));

    /// <summary>The blocks of <paramref name="page"/> that are fenced as <paramref name="language"/>, each with the number
    /// of its first line.</summary>
    public static IEnumerable<(int Line, string Text)> BlocksOf(string page, string language)
    {
        string[] lines = ReadLines(page);
        for (int i = 0; i < lines.Length; i++)
        {
            if (lines[i].Trim() == "```" + language)
            {
                int end = Array.FindIndex(lines, i + 1, line => line.Trim() == "```");
                yield return (i + 2, string.Join('\n', lines[(i + 1)..end]));
                i = end;
            }
        }
    }

    /// <summary>The lines of <paramref name="page"/> that are text, not code.</summary>
    public static IEnumerable<string> TextOf(string page)
    {
        bool isCode = false;
        foreach (string line in ReadLines(page))
        {
            bool isFence = line.TrimStart().StartsWith("```", StringComparison.Ordinal);
            isCode ^= isFence;
            if (!isFence && !isCode)
            {
                yield return line;
            }
        }
    }

    private static string FindRepository([CallerFilePath] string thisFile = "")
    {
        // With a deterministic build the path of a source file is not the machine's; then the folder of the test counts.
        string? folder = Path.GetDirectoryName(File.Exists(thisFile) ? thisFile : AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder, "KestrelEpollTransport.sln")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidOperationException("The tests run outside of the repository.");
    }
}
