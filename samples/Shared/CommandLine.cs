using System.CommandLine;
using System.Globalization;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Options;

namespace Samples;

/// <summary>What the samples add to System.CommandLine: an error that a user can put right is one line, with the same exit code in all.</summary>
internal static class CommandLine
{
    private const int Failed = 1;
    private const int WrongUsage = 2;

    // The host ends on signals, in its own time, and errors are said here.
    private static readonly InvocationConfiguration s_invocation = new() { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };

    /// <summary>Prints the help, or an error, or runs the sample.</summary>
    /// <returns>The exit code: the sample's; 1 if something failed, such as a port in use; 2 for a wrong option or value.</returns>
    public static async Task<int> RunAsync(this RootCommand command, string[] args)
    {
        ParseResult parsed = command.Parse(args);
        if (parsed.Errors is [var error, ..])
        {
            return Say($"{error.Message} --help shows what there is.", WrongUsage);
        }

        try
        {
            return await parsed.InvokeAsync(s_invocation);
        }
        catch (Exception e) when (e is IOException or SocketException or AddressInUseException or UnauthorizedAccessException or PlatformNotSupportedException)
        {
            return Say(e.Message, Failed);
        }
        catch (Exception e) when (e is OptionsValidationException or ArgumentException or FormatException or InvalidOperationException { InnerException: null or FormatException or ArgumentException })
        {
            // A wrong value in the configuration, a wrong URL or path, or no transport that can bind the endpoint.
            return Say(e.Message, WrongUsage);
        }
    }

    /// <summary>An option for a whole number. Without a default nothing stands for it in the help, and it may be null.</summary>
    public static Option<T> Number<T>(string name, T defaultValue, int least, int most, string description) =>
        Create(name, defaultValue, $"{least}..{most}", description).Take(
            $"a number from {least} to {most}",
            text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most);

    /// <summary>An option for one of some words, in any case.</summary>
    public static Option<T> Choice<T>(string name, T defaultValue, string[] words, string description) =>
        Create(name, defaultValue, string.Join('|', words), description).Take(
            $"one of {string.Join(", ", words)}", text => words.Contains(text, StringComparer.OrdinalIgnoreCase));

    /// <summary>Has an option take what <paramref name="isValid"/> says; <paramref name="expected"/> says it to the user.</summary>
    public static Option<T> Take<T>(this Option<T> option, string expected, Predicate<string> isValid)
    {
        option.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && !isValid(token.Value))
            {
                result.AddError($"{option.Name} must be {expected}, not '{token.Value}'.");
            }
        });
        return option;
    }

    private static Option<T> Create<T>(string name, T defaultValue, string helpName, string description) => new(name)
    {
        HelpName = helpName,
        Description = description,
        DefaultValueFactory = defaultValue is null ? null : _ => defaultValue,
    };

    private static int Say(string error, int exitCode)
    {
        // Some messages of the framework have a second line, such as "Actual value was ...".
        Console.Error.WriteLine(error.ReplaceLineEndings(" "));
        return exitCode;
    }
}
