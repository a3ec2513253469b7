using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Metrics;

/// <summary>What the command line asks for.</summary>
/// <param name="Port">Where the application is served, on 127.0.0.1.</param>
/// <param name="EverySeconds">How often metrics are exported.</param>
/// <param name="Otlp">Where to; null: printed.</param>
internal sealed record MetricsOptions(int Port, int EverySeconds, Uri? Otlp)
{
    public const string Help = """
        Metrics: the transport's metrics, collected by OpenTelemetry.

          --port N     where the application is served, on 127.0.0.1 [5060; 0: any that is free]
          --every S    seconds between two exports [10]
          --otlp URL   sends them there by OTLP over HTTP, instead of printing them:
                         'http://127.0.0.1:4318/v1/metrics'               an OpenTelemetry collector
                         'http://127.0.0.1:9090/api/v1/otlp/v1/metrics'   Prometheus 3, started with --web.enable-otlp-receiver
          --help       this
        """;

    /// <summary>False without a problem: help is asked for.</summary>
    public static bool TryParse(string[] args, [NotNullWhen(true)] out MetricsOptions? options, out string? problem)
    {
        options = null;
        problem = null;
        MetricsOptions parsed = new(Port: 5060, EverySeconds: 10, Otlp: null);
        for (int i = 0; i < args.Length; i++)
        {
            string name = args[i];
            if (name is "--help" or "-h" or "-?")
            {
                return false;
            }

            string value = name is "--port" or "--every" or "--otlp" && ++i < args.Length ? args[i] : "";
            bool isNumber = int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number);
            bool isUrl = Uri.TryCreate(value, UriKind.Absolute, out Uri? url) && url.Scheme is "http" or "https";
            problem = name switch
            {
                "--port" => isNumber && number <= 65_535 ? null : "--port takes a number from 0 to 65535.",
                "--every" => isNumber && number is >= 1 and <= 3_600 ? null : "--every takes a number of seconds from 1 to 3600.",
                "--otlp" => isUrl ? null : "--otlp takes a URL, such as http://127.0.0.1:4318/v1/metrics.",
                _ => $"'{name}' is no option of Metrics; --help lists them.",
            };
            if (problem is not null)
            {
                return false;
            }

            parsed = name switch
            {
                "--port" => parsed with { Port = number },
                "--every" => parsed with { EverySeconds = number },
                _ => parsed with { Otlp = url },
            };
        }

        options = parsed;
        return true;
    }
}
