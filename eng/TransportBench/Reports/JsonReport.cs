using System.Text.Json;
using System.Text.Json.Serialization;
using TransportBench.Running;

namespace TransportBench.Reports;

/// <summary>A run as a file that a later run can be compared with.</summary>
internal static class JsonReport
{
    public static string Format(RunResult result) => JsonSerializer.Serialize(result, ReportJsonContext.Default.RunResult) + "\n";

    /// <exception cref="FormatException">The file isn't such a report.</exception>
    public static RunResult Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllText(path), ReportJsonContext.Default.RunResult)
                ?? throw new FormatException($"{path} is empty");
        }
        catch (Exception e) when (e is JsonException or IOException)
        {
            throw new FormatException($"{path}: {e.Message}", e);
        }
    }
}

[JsonSerializable(typeof(RunResult))]
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, UseStringEnumConverter = true,
    RespectRequiredConstructorParameters = true)]
internal sealed partial class ReportJsonContext : JsonSerializerContext;
