using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;

namespace RealStacks;

/// <summary>The command line.</summary>
internal sealed record Arguments(int Port, ServedBy Application, ServedBy Proxy)
{
    /// <summary>The application and the proxy listen on two each, from the first on.</summary>
    public const int PortCount = 4;

    private const int DefaultPort = 5600;

    /// <summary>Parses, and runs what is asked for. Returns the exit code.</summary>
    public static Task<int> RunAsync(string[] args, Func<Arguments, Task<int>> run)
    {
        Option<int> port = new("--port")
        {
            Description = $"The first of {PortCount} ports",
            DefaultValueFactory = static _ => DefaultPort,
            CustomParser = static result => Parse<int>(result, TryParsePort, $"a port from 1 to {65536 - PortCount}"),
        };
        Option<ServedBy> application = ServedByOption("--application", "What the application is served by");
        Option<ServedBy> proxy = ServedByOption("--proxy", "What the proxy is served by");
        var root = new RootCommand("gRPC, SignalR and plain HTTP, and YARP in front of them, over the epoll transport.") { port, application, proxy };
        root.SetAction((parsed, _) => run(new Arguments(parsed.GetValue(port), parsed.GetValue(application), parsed.GetValue(proxy))));

        ParseResult parsed = root.Parse(args);
        if (parsed.Action is ParseErrorAction error)
        {
            // One line says it; --help says the rest.
            error.ShowHelp = false;
            error.ShowTypoCorrections = false;
        }

        return parsed.InvokeAsync();
    }

    private static Option<ServedBy> ServedByOption(string name, string description) => new(name)
    {
        Description = description,
        HelpName = string.Join('|', Enum.GetNames<ServedBy>()),
        DefaultValueFactory = static _ => ServedBy.Adaptive,
        CustomParser = static result => Parse<ServedBy>(result, TryParseServedBy, $"one of {string.Join(", ", Enum.GetNames<ServedBy>())}"),
    };

    private delegate bool TryParse<T>(string text, out T value);

    private static T Parse<T>(ArgumentResult result, TryParse<T> tryParse, string expected)
    {
        string text = result.Tokens[0].Value;
        if (!tryParse(text, out T value))
        {
            result.AddError($"{((OptionResult)result.Parent!).Option.Name} must be {expected}, not '{text}'.");
        }

        return value;
    }

    private static bool TryParsePort(string text, out int port) => int.TryParse(text, out port) && port is > 0 and <= 65536 - PortCount;

    private static bool TryParseServedBy(string text, out ServedBy servedBy) =>
        Enum.TryParse(text, ignoreCase: true, out servedBy) && Enum.IsDefined(servedBy) && !int.TryParse(text, out _);
}
