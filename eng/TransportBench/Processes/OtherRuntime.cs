namespace TransportBench.Processes;

/// <summary>A .NET runtime that is not this program's own, in a folder as an installation has it; <c>eng/dotnet11.sh</c> makes one.</summary>
/// <param name="Dotnet">The program <c>dotnet</c> in it.</param>
/// <param name="Version">Its version, as far as it is a number.</param>
internal sealed record OtherRuntime(string Dotnet, Version Version)
{
    /// <summary>What is added to the environment of a program that was built for an earlier runtime.</summary>
    public static readonly KeyValuePair<string, string> RollForward = new("DOTNET_ROLL_FORWARD", "LatestMajor");

    /// <summary>As <see cref="System.Runtime.InteropServices.RuntimeInformation.FrameworkDescription"/> begins on it.</summary>
    public string Title => $".NET {Version}";

    /// <summary>The runtime in a folder; null if there is none, or several, of which the host would choose one.</summary>
    public static OtherRuntime? Find(string folder)
    {
        string dotnet = Path.GetFullPath(Path.Combine(folder, "dotnet"));
        string runtimes = Path.Combine(folder, "shared", "Microsoft.NETCore.App");
        return File.Exists(dotnet) && Directory.Exists(runtimes)
            && Directory.GetDirectories(runtimes) is [string only]
            && Version.TryParse(Path.GetFileName(only).Split('-')[0], out Version? version)
            ? new OtherRuntime(dotnet, version)
            : null;
    }
}
