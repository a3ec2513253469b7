using System.Globalization;
using ScottPlot;

namespace TransportBench.Reports.Charts;

/// <summary>What all charts look like.</summary>
internal static class ChartStyle
{
    public const float LineWidth = 2;
    public const float MarkerSize = 9;
    public const int TickSize = 13;

    private const int TitleSize = 18;
    private const int LabelSize = 14;

    // A transport has its colour in every chart: greys for what is there today, blues and green for ours.
    private static readonly Dictionary<string, string> s_colors = new()
    {
        ["sockets"] = "#4b5563",
        ["sockets-control"] = "#b4bac4",
        ["sockets-inline"] = "#d98a29",
        ["epoll"] = "#1d5fd0",
        ["epoll-before"] = "#9db7e4",
        ["epoll-pool"] = "#4fb0e8",
        ["epoll-inline"] = "#129b73",
        ["floor"] = "#8a63b8",
    };

    public static Color Background { get; } = Colors.White;

    public static Color Noise { get; } = Color.FromHex("#e6e8ec");

    public static Color Reference { get; } = Color.FromHex("#4b5563");

    /// <summary>On another runtime (<c>epoll@11</c>) it is its own, only darker.</summary>
    public static Color ColorOf(string transport) => transport.Split('@') is [string kind, _]
        ? ColorOf(kind).Darken(0.5)
        : Color.FromHex(s_colors.GetValueOrDefault(transport, "#000000"));

    /// <summary>An empty chart.</summary>
    public static Plot New(string title, string xLabel, string yLabel)
    {
        var plot = new Plot();
        plot.Font.Set("DejaVu Sans");
        plot.FigureBackground.Color = Background;
        plot.Title(title, TitleSize);
        plot.XLabel(xLabel, LabelSize);
        plot.YLabel(yLabel, LabelSize);
        plot.Axes.Title.Label.Bold = true;
        plot.Axes.Bottom.Label.Bold = false;
        plot.Axes.Left.Label.Bold = false;
        plot.Axes.Bottom.TickLabelStyle.FontSize = TickSize;
        plot.Axes.Left.TickLabelStyle.FontSize = TickSize;
        plot.Axes.Right.FrameLineStyle.Width = 0;
        plot.Axes.Top.FrameLineStyle.Width = 0;
        plot.Grid.MajorLineColor = Color.FromHex("#eceef1");
        plot.Legend.FontSize = TickSize;
        plot.Legend.OutlineColor = Color.FromHex("#d5d9df");
        plot.Legend.ShadowColor = Colors.Transparent;
        return plot;
    }

    /// <summary>Says on the chart itself that its figures are not to be quoted.</summary>
    public static void Warn(Plot plot, string reason)
    {
        var warning = plot.Add.Annotation($"Not to be quoted: {reason}.", Alignment.UpperCenter);
        warning.LabelFontColor = Colors.White;
        warning.LabelBackgroundColor = Color.FromHex("#b3261e");
        warning.LabelShadowColor = Colors.Transparent;
        warning.LabelFontSize = LabelSize;
    }

    /// <summary>Puts words where there would be numbers.</summary>
    public static void SetWords(IAxis axis, IEnumerable<string> words)
    {
        axis.SetTicks([.. words.Select(static (_, i) => (double)i)], [.. words]);
        axis.MajorTickStyle.Length = 0;
    }

    /// <summary>Shows an axis on which decimal logarithms are drawn with the numbers themselves; in between too, where there are few.</summary>
    /// <param name="axis">The axis.</param>
    /// <param name="powers">What is drawn.</param>
    public static void SetPowersOfTen(IAxis axis, IReadOnlyCollection<double> powers)
    {
        const double FewDecades = 2;
        double[] steps = powers.Max() - powers.Min() > FewDecades ? [1] : [1, 2, 5];
        int first = (int)Math.Floor(powers.Min());
        int count = (int)Math.Ceiling(powers.Max()) - first + 1;
        double[] numbers = [.. Enumerable.Range(first, count).SelectMany(power => steps.Select(step => step * Math.Pow(10, power)))];
        axis.SetTicks(
            [.. numbers.Select(Math.Log10)],
            [.. numbers.Select(static number => number.ToString(number < 1 ? "0.###" : "#,0", CultureInfo.InvariantCulture))]);
    }
}
