using System.Globalization;
using KestrelEpollTransport;

namespace StressTool;

/// <summary>What is put under stress.</summary>
internal enum Subject
{
    /// <summary>The transport itself.</summary>
    Connections,

    /// <summary>Kestrel behind <c>UseProxyProtocol</c>.</summary>
    ProxyProtocol,

    /// <summary>Kestrel with <c>UseConnectionLimits</c>, which is measured.</summary>
    ConnectionLimits,
}

/// <summary>What the command line asks for.</summary>
internal sealed record StressOptions(double Seconds, int Seed, bool UseSockets, ApplicationScheduling Scheduling, Subject What)
{
    /// <exception cref="FormatException">An argument is not understood; the message says which.</exception>
    public static StressOptions Parse(string[] args)
    {
        var options = new StressOptions(10, Random.Shared.Next(), UseSockets: false, ApplicationScheduling.Adaptive, Subject.Connections);
        for (int i = 0; i < args.Length; i += 2)
        {
            string value = i + 1 < args.Length ? args[i + 1] : throw new FormatException($"{args[i]} needs a value");
            options = args[i] switch
            {
                "--seconds" => options with { Seconds = double.Parse(value, CultureInfo.InvariantCulture) },
                "--seed" => options with { Seed = int.Parse(value, CultureInfo.InvariantCulture) },
                "--transport" when value is "epoll" or "sockets" => options with { UseSockets = value == "sockets" },
                "--scheduling" when Enum.TryParse(value, out ApplicationScheduling scheduling) => options with { Scheduling = scheduling },
                "--what" when Enum.TryParse(value, out Subject what) => options with { What = what },
                _ => throw new FormatException($"{args[i]} {value} is not understood"),
            };
        }

        return options;
    }
}
