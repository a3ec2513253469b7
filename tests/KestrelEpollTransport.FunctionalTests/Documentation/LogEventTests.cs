using System.Reflection;
using System.Text.RegularExpressions;
using KestrelEpollTransport.LoadShedding;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests.Documentation;

/// <summary>Each log line has an id and a name of its own, in all categories together, and its row in docs/operating.md.</summary>
public partial class LogEventTests
{
    /// <summary>As the code of both packages has them.</summary>
    private static readonly LoggerMessageAttribute[] s_events =
        [.. new[] { typeof(EpollTransportFactory), typeof(LoadSheddingLog) }
            .SelectMany(static type => type.Assembly.GetTypes())
            .SelectMany(static type => type.GetMethods(BindingFlags.DeclaredOnly | BindingFlags.Static | BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic))
            .Select(static method => method.GetCustomAttribute<LoggerMessageAttribute>())
            .OfType<LoggerMessageAttribute>()
            .OrderBy(static log => log.EventId)];

    [Fact]
    public void Event_OfAnyCategory_HasItsOwnIdAndName()
    {
        Assert.Equal(s_events.Select(static log => log.EventId).Distinct(), s_events.Select(static log => log.EventId));
        Assert.Equal(s_events.Select(static log => log.EventName).Distinct(), s_events.Select(static log => log.EventName));
    }

    [Fact]
    public void Page_OfLogLines_HasEachWithItsLevel()
    {
        string[] rows = [.. Pages.ReadLines("docs/operating.md").Select(static line => Row().Match(line)).Where(static row => row.Success)
            .OrderBy(static row => int.Parse(row.Groups[1].ValueSpan, provider: null))
            .Select(static row => $"{row.Groups[1]} {row.Groups[2]} {row.Groups[3]}")];

        Assert.Equal(s_events.Select(static log => $"{log.EventId} {log.EventName} {log.Level}"), rows);
    }

    [GeneratedRegex(@"^\| (\d+) \| `(\w+)` \| (\w+) \|")]
    private static partial Regex Row();
}
