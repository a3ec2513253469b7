using System.Globalization;
using KestrelEpollTransport;

namespace StressTool;

/// <summary>What the command line asks for.</summary>
internal sealed record StressOptions(double Seconds, int Seed, bool UseSockets, ApplicationScheduling Scheduling)
{
    /// <exception cref="FormatException">An argument is not understood; the message says which.</exception>
    public static StressOptions Parse(string[] args)
    {
        var options = new StressOptions(10, Random.Shared.Next(), UseSockets: false, ApplicationScheduling.Adaptive);
        for (int i = 0; i < args.Length; i += 2)
        {
            string value = i + 1 < args.Length ? args[i + 1] : throw new FormatException($"{args[i]} needs a value");
            options = args[i] switch
            {
                "--seconds" => options with { Seconds = double.Parse(value, CultureInfo.InvariantCulture) },
                "--seed" => options with { Seed = int.Parse(value, CultureInfo.InvariantCulture) },
                "--transport" when value is "epoll" or "sockets" => options with { UseSockets = value == "sockets" },
                "--scheduling" when Enum.TryParse(value, out ApplicationScheduling scheduling) => options with { Scheduling = scheduling },
                _ => throw new FormatException($"{args[i]} {value} is not understood"),
            };
        }

        return options;
    }
}
