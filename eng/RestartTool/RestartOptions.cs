using System.Globalization;

namespace RestartTool;

/// <summary>What the command line asks for.</summary>
internal sealed record RestartOptions(string Server, int Connections, int Restarts, int PauseMs, int Port, int DrainSeconds, bool ReusesPort)
{
    /// <exception cref="FormatException">An argument is not understood; the message says which.</exception>
    public static RestartOptions Parse(string[] args)
    {
        var options = new RestartOptions("samples/Restart/bin/Release/net10.0/Restart.dll", 2_000, 20, 500, 5190, 5, ReusesPort: false);
        for (int i = 0; i < args.Length; i += 2)
        {
            string value = i + 1 < args.Length ? args[i + 1] : throw new FormatException($"{args[i]} needs a value");
            options = args[i] switch
            {
                "--server" => options with { Server = value },
                "--connections" => options with { Connections = ToNumber(value) },
                "--restarts" => options with { Restarts = ToNumber(value) },
                "--pause" => options with { PauseMs = ToNumber(value) },
                "--port" => options with { Port = ToNumber(value) },
                "--drain" => options with { DrainSeconds = ToNumber(value) },
                "--by" when value is "inheriting" or "reuse-port" => options with { ReusesPort = value == "reuse-port" },
                _ => throw new FormatException($"{args[i]} {value} is not understood"),
            };
        }

        return options;
    }

    private static int ToNumber(string value) => int.Parse(value, CultureInfo.InvariantCulture);
}
