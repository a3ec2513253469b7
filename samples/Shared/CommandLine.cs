using Microsoft.Extensions.Options;

namespace Samples;

/// <summary>The command line of a sample: its help is also the list of its options, and what a user can put right is one line.</summary>
internal static class CommandLine
{
    private const int Failed = 1;
    private const int WrongUsage = 2;

    /// <summary>Prints the help, or an error, or runs the sample.</summary>
    /// <param name="args">Options as <c>--name value</c> or <c>--name=value</c>. One with a colon is a key of the configuration, whatever it is.</param>
    /// <param name="help">Has a line <c>--name VALUE ...</c> for each option.</param>
    /// <param name="run">The sample; returns its exit code.</param>
    /// <returns>The exit code: the sample's; 1 where it could not do what it was asked for; 2 where nobody could.</returns>
    public static async Task<int> RunAsync(string[] args, string help, Func<Task<int>> run)
    {
        if (args.Any(static arg => arg is "--help" or "-h"))
        {
            Console.WriteLine(help);
            return 0;
        }

        if (FindError(args, help) is { } error)
        {
            Console.Error.WriteLine($"{error} --help shows what there is.");
            return WrongUsage;
        }

        try
        {
            return await run();
        }
        catch (Exception e) when (e is IOException or OptionsValidationException or System.Net.Sockets.SocketException or Microsoft.AspNetCore.Connections.AddressInUseException)
        {
            Console.Error.WriteLine(e.Message);
            return Failed;
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException { InnerException: FormatException or ArgumentException })
        {
            // A value that is no number, or no name of an enum, or a port beyond 65,535.
            Console.Error.WriteLine(e.Message);
            return WrongUsage;
        }
    }

    private static string? FindError(string[] args, string help)
    {
        for (int i = 0; i < args.Length; i++)
        {
            string name = args[i].Split('=')[0];
            bool isKnown = name.StartsWith("--", StringComparison.Ordinal)
                && (name.Contains(':') || help.Split('\n').Any(line => line.TrimStart().StartsWith(name + ' ', StringComparison.OrdinalIgnoreCase)));
            if (!isKnown)
            {
                return $"There is no option '{args[i]}'.";
            }

            if (name.Length == args[i].Length && ++i == args.Length)
            {
                return $"{name} needs a value.";
            }
        }

        return null;
    }
}
