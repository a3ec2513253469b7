using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace LoopDashboard;

/// <summary>What the command line asks for.</summary>
/// <param name="Port">Where the page is served, on 127.0.0.1.</param>
/// <param name="Loops">How many loops; null: the transport's default.</param>
/// <param name="Load">Whether the program asks itself for something.</param>
internal sealed record DashboardOptions(int Port, int? Loops, bool Load)
{
    private const int DefaultPort = 5070;

    public const string Help = """
        LoopDashboard: a page that draws the event loops it is served by.

          --port N     where, on 127.0.0.1 [5070; 0: any that is free]
          --loops N    how many event loops, 1 to 64 [the transport's default]
          --load       asks itself for cheap and for blocking requests, so that there is something to see
          --help       this
        """;

    /// <summary>False without a problem: help is asked for.</summary>
    public static bool TryParse(string[] args, [NotNullWhen(true)] out DashboardOptions? options, out string? problem)
    {
        options = null;
        problem = null;
        DashboardOptions parsed = new(DefaultPort, Loops: null, Load: false);
        for (int i = 0; i < args.Length; i++)
        {
            int number = 0;
            string name = args[i];
            if (name is "--help" or "-h" or "-?")
            {
                return false;
            }

            if (name is "--port" or "--loops" && (++i >= args.Length || !TryNumber(args[i], name, out number)))
            {
                problem = name == "--port" ? "--port takes a number from 0 to 65535." : "--loops takes a number from 1 to 64.";
                return false;
            }

            switch (name)
            {
                case "--port":
                    parsed = parsed with { Port = number };
                    break;
                case "--loops":
                    parsed = parsed with { Loops = number };
                    break;
                case "--load":
                    parsed = parsed with { Load = true };
                    break;
                default:
                    problem = $"'{name}' is no option of LoopDashboard; --help lists them.";
                    return false;
            }
        }

        options = parsed;
        return true;
    }

    private static bool TryNumber(string text, string name, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number)
        && (name == "--port" ? number <= 65_535 : number is >= 1 and <= 64);
}
