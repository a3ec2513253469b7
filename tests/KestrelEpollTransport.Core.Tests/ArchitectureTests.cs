using System.Reflection;
using System.Text.RegularExpressions;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests;

/// <summary>The map of the source's README, held against the source: dependencies point down, and one place says epoll.</summary>
public partial class ArchitectureTests
{
    private const int MaxLines = 500;

    /// <summary>The folder of the public types: the namespace without a suffix.</summary>
    private const string Root = "";

    // Top to bottom. A folder may use those in the layers below its own, and the leaves.
    private static readonly string[][] s_layers =
    [
        [Root], ["Listening", "Connecting"], ["Connections"], ["Scheduling"], ["Loops"], ["Polling"], ["Native"],
    ];

    private static readonly string[] s_leaves = ["Buffers", "Diagnostics", "Locking"];

    // They serve connections of any transport, and know this one no more than Kestrel does: only the top uses them, and they use the leaves.
    private static readonly string[] s_hosting = ["Hosting", "ConnectionLimits"];

    // What may say which system this is, and name its calls.
    private static readonly string[] s_systemFolders = ["Polling", "Native"];

    // A root type is in the parent namespace of every folder and so needs no using: these are named from below, and why.
    private static readonly Dictionary<(string Folder, string Type), string> s_rootTypesBelow = new()
    {
        [("Listening", "TransportEngine")] = "what a listener works with: options, loops, logs, and the start of a connection",
        [("Listening", "EpollTransportFactory")] = "names the object that was disposed, in the exception that its caller gets",
        [("Listening", "EpollTransportOptions")] = "the backlog, and the function that makes the socket",
        [("Listening", "ListenerHandover")] = "where listening sockets come from, and who has them next",
        [("Listening", "EpollSocketOptions")] = "names the option that the kernel refuses, in the exception that the application gets",
        [("Connections", "ITcpInfoFeature")] = "a feature that connections are",
        [("Connections", "IUnixPeerCredentialsFeature")] = "the same",
        [("Connections", "TcpInfo")] = "what the first of them tells",
        [("Connections", "UnixPeerCredentials")] = "what the second tells",
        [("Connecting", "TransportEngine")] = "as for a listener",
        [("Connecting", "EpollConnectionFactory")] = "names the object that was disposed, in the exception that its caller gets",
        [("Native", "EpollTransportOptions")] = "names the option that the system or the kernel refuses, in the exception that the application gets",
        [("Connections", "IQueueingDelayFeature")] = "a feature of a connection",
        [("ConnectionLimits", "ConnectionLimitsOptions")] = "the limits",
        [("Scheduling", "ApplicationScheduling")] = "the option that chooses the scheduler",
        [("Scheduling", "EpollTransportOptions")] = "the number of loops, and the limits of adaptive scheduling",
    };

    public static TheoryData<string> Folders => [.. s_layers.SelectMany(layer => layer), .. s_leaves, .. s_hosting];

    [Fact]
    public void SourceFolders_AreThoseOfTheMap()
    {
        string[] present = [.. SourceFiles().Select(file => file.Folder).Distinct().Order(StringComparer.Ordinal)];

        Assert.Equal([.. s_layers.SelectMany(layer => layer).Concat(s_leaves).Concat(s_hosting).Order(StringComparer.Ordinal)], present);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Folder_NamespacesThatItUses_AreBelowIt(string folder)
    {
        string[] allowed = AllowedFor(folder);
        List<string> wrong = [];
        foreach (SourceFile file in SourceFiles().Where(file => file.Folder == folder))
        {
            foreach (Match match in NamespacePattern().Matches(file.Code))
            {
                string used = match.Groups[1].Value;
                if (used != folder && !allowed.Contains(used))
                {
                    wrong.Add($"{file.Path}: {match.Value.Trim()}");
                }
            }
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public void NamespacePattern_FindsTheUsesThatAreThere()
    {
        // The test above would also pass with a pattern that finds nothing.
        SourceFile listener = SourceFiles().Single(file => file.Path == "Listening/EpollListener.cs");

        string[] used = [.. NamespacePattern().Matches(listener.Code).Select(match => match.Groups[1].Value).Distinct()];

        Assert.Contains("Connections", used);
        Assert.Contains("Loops", used);
        Assert.Contains("Native", used);
        Assert.DoesNotContain("Listening", AllowedFor("Connections"));
    }

    [Fact]
    public void File_Namespace_IsItsFolder() =>
        Assert.All(
            SourceFiles().Where(file => file.Folder != Root || !file.Path.EndsWith("Extensions.cs", StringComparison.Ordinal)),
            file => Assert.Contains(
                $"namespace KestrelEpollTransport{(file.Directory == Root ? "" : "." + file.Directory.Replace('/', '.'))};", file.Code, StringComparison.Ordinal));

    [Fact]
    public void RootTypes_NamedFromBelow_AreThoseThatHaveAReason()
    {
        SourceFile[] files = [.. SourceFiles()];
        string[] types = [.. files.Where(file => file.Folder == Root).Select(file => Path.GetFileNameWithoutExtension(file.Path))];
        HashSet<(string, string)> found = [];
        foreach (SourceFile file in files.Where(file => file.Folder != Root))
        {
            foreach (string type in types.Where(type => Regex.IsMatch(file.Code, $@"\b{type}\b")))
            {
                found.Add((file.Folder, type));
            }
        }

        Assert.Equal(s_rootTypesBelow.Keys.Order(), found.Order());
    }

    [Fact]
    public void SourceAbovePolling_NamesNeitherEpollNorKqueueNorABindingNorASystem()
    {
        List<string> wrong = [];
        foreach (SourceFile file in SourceFiles().Where(file => !s_systemFolders.Contains(file.Folder)))
        {
            foreach (Match match in SystemPattern().Matches(file.Code))
            {
                wrong.Add($"{file.Path}: {match.Value}");
            }
        }

        Assert.Empty(wrong);
        Assert.Matches(SystemPattern(), SourceFiles().Single(file => file.Path == "Polling/EpollPoller.cs").Code);
        Assert.Matches(SystemPattern(), SourceFiles().Single(file => file.Path == "Polling/KqueuePoller.cs").Code);
        Assert.Matches(SystemPattern(), SourceFiles().Single(file => file.Path == "Polling/Poller.cs").Code);
    }

    [Fact]
    public void Binding_IsNamedWhereLinuxAloneLoadsIt()
    {
        string[] naming = [.. SourceFiles().Where(file => file.Code.Contains("Tmds", StringComparison.Ordinal)).Select(file => file.Path).Order(StringComparer.Ordinal)];

        Assert.Equal(["Native/Linux/LinuxBinding.cs", "Native/Linux/LinuxCalls.cs", "Polling/EpollPoller.cs"], naming);
    }

    [Fact]
    public void Types_ThatAreLoadedEverywhere_HaveNoTypeOfTheBindingInAFieldOrASignature()
    {
        const BindingFlags All = BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
        List<string> wrong = [];
        foreach (Type type in typeof(Poller).Assembly.GetTypes())
        {
            IEnumerable<Type?> named =
            [
                type.BaseType,
                .. type.GetInterfaces(),
                .. type.GetFields(All).Select(field => field.FieldType),
                .. type.GetMethods(All).Select(method => method.ReturnType),
                .. type.GetMethods(All).SelectMany(method => method.GetParameters()).Select(parameter => parameter.ParameterType),
                .. type.GetConstructors(All).SelectMany(constructor => constructor.GetParameters()).Select(parameter => parameter.ParameterType),
            ];
            wrong.AddRange(named.Where(IsOfBinding).Select(one => $"{type}: {one}"));
        }

        // The poller of Linux keeps its batch as the binding's structures; it is made on Linux only.
        Assert.All(wrong, one => Assert.StartsWith(typeof(EpollPoller).FullName!, one, StringComparison.Ordinal));
        Assert.NotEmpty(wrong);
    }

    private static bool IsOfBinding(Type? type) =>
        type is not null && (type.HasElementType ? IsOfBinding(type.GetElementType()) : type.Namespace == "Tmds.Linux");

    [Fact]
    public void Files_AreOfReadableLength() =>
        Assert.All(SourceFiles(), file => Assert.True(file.Lines <= MaxLines, $"{file.Path} has {file.Lines} lines."));

    private static string[] AllowedFor(string folder)
    {
        if (s_hosting.Contains(folder))
        {
            return s_leaves;
        }

        // A leaf may use nothing of the others but how they all lock.
        int layer = Array.FindIndex(s_layers, folders => folders.Contains(folder));
        string[] aside = folder == Root ? s_hosting : [];
        return layer < 0 ? ["Locking"] : [.. s_layers.Skip(layer + 1).SelectMany(folders => folders), .. s_leaves, .. aside];
    }

    private static IEnumerable<SourceFile> SourceFiles()
    {
        // Found from where the test runs: a deterministic build does not tell where its sources are.
        DirectoryInfo? root = new(AppContext.BaseDirectory);
        while (root is not null && !File.Exists(Path.Combine(root.FullName, "KestrelEpollTransport.sln")))
        {
            root = root.Parent;
        }

        Assert.NotNull(root);
        string source = Path.Combine(root.FullName, "src", "KestrelEpollTransport.Core");
        foreach (string path in Directory.EnumerateFiles(source, "*.cs", SearchOption.AllDirectories))
        {
            string relative = Path.GetRelativePath(source, path);
            if (relative.StartsWith("obj/", StringComparison.Ordinal) || relative.StartsWith("bin/", StringComparison.Ordinal))
            {
                continue;
            }

            string text = File.ReadAllText(path);
            yield return new SourceFile(
                relative, Path.GetDirectoryName(relative)!.Replace('\\', '/'), CommentPattern().Replace(text, ""), text.AsSpan().Count('\n'));
        }
    }

    // A using, plain or static, and a name that is qualified in the code; and relative ones, as "Native.Errno".
    [GeneratedRegex(@"(?:\bKestrelEpollTransport\.|(?<![\w.""]))\b(Hosting|ConnectionLimits|Listening|Connecting|Connections|Scheduling|Loops|Polling|Native|Buffers|Diagnostics|Locking)\b(?=;|\.[A-Z])")]
    private static partial Regex NamespacePattern();

    // The product's name is no reason to object, as in the names of the instruments, epoll_transport.something.
    [GeneratedRegex(@"\bEPOLL\w*|\bepoll_(?!transport\.)\w+|(?i:\w*(?<!wor)kqueue\w*|\bkevent\b)|\bEVFILT_\w+|\bTmds\b|\bOperatingSystem\b|\bRuntimeInformation\b|\bOSPlatform\w*|\bSupportedOSPlatform\w*|(?i:\blinux\b|\bwindows\b|\bmacos\b|\bfreebsd\b)")]
    private static partial Regex SystemPattern();

    [GeneratedRegex(@"//.*")]
    private static partial Regex CommentPattern();

    private sealed record SourceFile(string Path, string Directory, string Code, int Lines)
    {
        /// <summary>The folder of the map: the first one. Those within it are its own affair.</summary>
        public string Folder => Directory.Split('/')[0];
    }
}
