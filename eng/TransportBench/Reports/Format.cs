using System.Globalization;
using TransportBench.Measuring;

namespace TransportBench.Reports;

/// <summary>How numbers are written, wherever they are.</summary>
internal static class Format
{
    /// <summary>Three digits that say something, and thousands apart.</summary>
    public static string Number(double value)
    {
        string format = Math.Abs(value) switch
        {
            0 => "0",
            >= 100 => "#,0",
            >= 10 => "0.0",
            >= 0.1 => "0.00",
            _ => "0.000",
        };
        return value.ToString(format, CultureInfo.InvariantCulture);
    }

    /// <summary>The middle, and from where to where.</summary>
    public static string Ratio(Spread? ratio) => ratio is { } r
        ? string.Create(CultureInfo.InvariantCulture, $"{r.Median:0.00} ({r.Min:0.00}..{r.Max:0.00})")
        : "";
}
