namespace TransportBench.Processes;

/// <summary>How the programs that a run needs are started, and which Debian package has those that are missing.</summary>
internal static class Programs
{
    private static readonly (string Program, string Package)[] s_needed =
        [("wrk", "wrk"), ("h2load", "nghttp2-client"), ("taskset", "util-linux"), ("setpriv", "util-linux")];

    /// <summary>This program, in another role.</summary>
    public static IReadOnlyList<string> Self { get; } = FindSelf();

    private static string SelfLibrary => Path.Combine(AppContext.BaseDirectory, "TransportBench.dll");

    /// <summary>Another build of this program; null: none was named.</summary>
    public static string? Before { get; set; }

    /// <summary>The program of eng/ConnectionHolder.</summary>
    public static IReadOnlyList<string> ConnectionHolder { get; } =
        ["dotnet", Path.Combine(AppContext.BaseDirectory, "ConnectionHolder.dll")];

    public static bool HasStrace { get; } = IsOnPath("strace");

    /// <summary>This program on another runtime; null: on the one that it has.</summary>
    public static IReadOnlyList<string> SelfOn(OtherRuntime? runtime) => runtime is null ? Self : [runtime.Dotnet, SelfLibrary];

    /// <summary>The Debian packages that have to be installed before a run.</summary>
    public static IReadOnlyList<string> MissingPackages() =>
        [.. s_needed.Where(static n => !IsOnPath(n.Program)).Select(static n => n.Package).Distinct()];

    private static bool IsOnPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, program)));

    private static IReadOnlyList<string> FindSelf()
    {
        string program = Environment.ProcessPath!;
        return Path.GetFileName(program) == "dotnet"
            ? [program, SelfLibrary]
            : [program];
    }
}
