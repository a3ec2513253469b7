using System.Text.RegularExpressions;

namespace KestrelEpollTransport.FunctionalTests.Documentation;

/// <summary>The pages can be read: no link leads nowhere, no sentence is endless, and the README is short.</summary>
public partial class PageTests
{
    private const int MostWordsOfASentence = 40;
    private const int MostWordsOfTheReadme = 1_500;

    public static TheoryData<string> AllPages => new(Pages.All);

    [Theory]
    [MemberData(nameof(AllPages))]
    public void Link_ToAnotherPage_LeadsToAHeading(string page)
    {
        string folder = Path.GetDirectoryName(Path.Combine(Pages.Repository, page))!;
        foreach (string target in Pages.TextOf(page).SelectMany(line => Link().Matches(line)).Select(match => match.Groups[1].Value))
        {
            if (target.Contains("://", StringComparison.Ordinal))
            {
                continue;
            }

            string[] parts = target.Split('#');
            string path = parts[0].Length == 0 ? Path.Combine(Pages.Repository, page) : Path.GetFullPath(parts[0], folder);
            Assert.True(Path.Exists(path), $"{page} links to {target}, which is not there.");
            if (parts.Length > 1)
            {
                string linked = Path.GetRelativePath(Pages.Repository, path);
                Assert.True(Pages.TextOf(linked).Any(line => line.StartsWith('#') && AnchorOf(line) == parts[1]),
                    $"{page} links to {target}, which has no such heading.");
            }
        }
    }

    [Fact]
    public void Page_OfDocs_IsLinkedFromTheReadme()
    {
        string[] linked = [.. Pages.TextOf("README.md").SelectMany(line => Link().Matches(line)).Select(match => match.Groups[1].Value.Split('#')[0])];

        Assert.Empty(Pages.All.Where(static page => page.StartsWith("docs", StringComparison.Ordinal)).Except(linked));
    }

    [Theory]
    [MemberData(nameof(AllPages))]
    public void Sentence_OfAnyPage_IsNotEndless(string page)
    {
        foreach (string piece in Pages.TextOf(page).SelectMany(line => line.Split('|')))
        {
            foreach (string sentence in EndOfSentence().Split(WithoutTargets(piece)))
            {
                int words = sentence.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length;
                Assert.True(words <= MostWordsOfASentence, $"{page}: {words} words: {sentence}");
            }
        }
    }

    [Fact]
    public void Readme_IsRead_BeforeItIsPutAway()
    {
        int words = Pages.ReadLines("README.md").Sum(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length);

        Assert.InRange(words, 1, MostWordsOfTheReadme);
    }

    /// <summary>As GitHub makes them: lower case, spaces as hyphens, and no punctuation.</summary>
    private static string AnchorOf(string heading)
        => NotInAnAnchor().Replace(heading.TrimStart('#').Trim().ToLowerInvariant(), "").Replace(' ', '-');

    private static string WithoutTargets(string text) => Link().Replace(text, "](x)");

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"(?<=[.!?][*`""')]*)\s+")]
    private static partial Regex EndOfSentence();

    [GeneratedRegex(@"[^\w\- ]")]
    private static partial Regex NotInAnAnchor();
}
