using System.Collections.Immutable;
using System.Text;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace KestrelEpollTransport.FunctionalTests.Documentation;

/// <summary>What users copy out of the pages compiles as it stands there.</summary>
public class SnippetTests
{
    /// <summary>What a snippet may leave out: the usings of a web application, and what <see cref="Given"/> names.</summary>
    private const string Usings =
        """
        global using System;
        global using System.Buffers;
        global using System.Collections.Generic;
        global using System.Diagnostics;
        global using System.IO;
        global using System.IO.Pipelines;
        global using System.Linq;
        global using System.Net;
        global using System.Net.Security;
        global using System.Net.Sockets;
        global using System.Security.Cryptography.X509Certificates;
        global using System.Text;
        global using System.Threading;
        global using System.Threading.Tasks;
        global using KestrelEpollTransport;
        global using Microsoft.AspNetCore.Builder;
        global using Microsoft.AspNetCore.Connections;
        global using Microsoft.AspNetCore.Connections.Features;
        global using Microsoft.AspNetCore.Hosting;
        global using Microsoft.AspNetCore.Http;
        global using Microsoft.AspNetCore.Http.Features;
        global using Microsoft.Extensions.Configuration;
        global using Microsoft.Extensions.DependencyInjection;
        global using Microsoft.Extensions.Hosting;
        global using Microsoft.Extensions.Logging;
        global using Microsoft.Extensions.Logging.Abstractions;
        global using Microsoft.Extensions.Options;
        global using OpenTelemetry.Metrics;
        global using static Given;
        """;

    /// <summary>Names that snippets use without saying where they come from. A snippet that declares one of them itself
    /// hides the one here.</summary>
    private const string Given =
        """
        using Microsoft.AspNetCore.Server.Kestrel.Core;

        public static class Given
        {
            public static WebApplicationBuilder builder = null!;
            public static WebApplication app = null!;
            public static KestrelServerOptions kestrel = null!;
            public static EpollTransportOptions options = null!;
            public static BaseConnectionContext context = null!;
            public static HttpContext http = null!;
            public static ILogger logger = null!;
            public static Socket listener = null!;
            public static X509Certificate2 certificate = null!;
            public static CancellationTokenSource timeout = null!;

            public static Task RunReportAsync(HttpContext http) => Task.CompletedTask;
        }
        """;

    /// <summary>A handler, for snippets that don't show it themselves.</summary>
    private const string Handler =
        """
        public sealed class EchoHandler : ConnectionHandler
        {
            public override Task OnConnectedAsync(ConnectionContext connection) => Task.CompletedTask;
        }
        """;

    public static TheoryData<string> PagesWithSnippets
        => new(Pages.All.Where(page => Pages.BlocksOf(page, "csharp").Any()));

    [Theory]
    [MemberData(nameof(PagesWithSnippets))]
    public void Snippet_CopiedFromThePage_Compiles(string page)
    {
        var failures = new StringBuilder();
        foreach ((int line, string code) in Pages.BlocksOf(page, "csharp"))
        {
            foreach (Diagnostic error in Compile(code).Where(diagnostic => diagnostic.Severity == DiagnosticSeverity.Error))
            {
                int at = error.Location.GetLineSpan().StartLinePosition.Line;
                failures.AppendLine($"{page}:{line + at}: {error.GetMessage()}");
            }
        }

        Assert.Equal("", failures.ToString());
    }

    [Fact]
    public void Snippet_WithAMemberThatIsNotThere_IsFound()
    {
        Assert.Contains(Compile("builder.WebHost.UseEpollTransport(options => options.NoSuchOption = 1);"),
            diagnostic => diagnostic.Id == "CS1061");
    }

    private static ImmutableArray<Diagnostic> Compile(string code)
    {
        var parse = CSharpParseOptions.Default.WithLanguageVersion(LanguageVersion.Latest);
        SyntaxTree snippet = CSharpSyntaxTree.ParseText(code, parse);
        bool isProgram = snippet.GetRoot().ChildNodes().Any(static node => node is GlobalStatementSyntax);
        string handler = code.Contains("class EchoHandler", StringComparison.Ordinal) ? "" : Handler;
        CSharpCompilation compilation = CSharpCompilation.Create(
            "Snippet",
            [snippet, .. new[] { Usings, Given, handler }.Select(text => CSharpSyntaxTree.ParseText(text, parse))],
            References(),
            new CSharpCompilationOptions(
                isProgram ? OutputKind.ConsoleApplication : OutputKind.DynamicallyLinkedLibrary, nullableContextOptions: NullableContextOptions.Enable));
        return compilation.GetDiagnostics();
    }

    /// <summary>Everything that this process could load: the framework's assemblies, ASP.NET Core's, and ours.</summary>
    private static MetadataReference[] References()
        => [.. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!)
            .Split(Path.PathSeparator)
            .Select(path => MetadataReference.CreateFromFile(path))];
}
