using System.Collections.Immutable;
using System.Text;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace KestrelEpollTransport.FunctionalTests.Documentation;

/// <summary>What users copy out of the pages compiles as it stands there.</summary>
public class SnippetTests
{
    /// <summary>What <see cref="Given"/> and <see cref="Handler"/> need.</summary>
    private const string Usings =
        """
        using System;
        using System.Buffers;
        using System.Collections.Generic;
        using System.Diagnostics;
        using System.IO;
        using System.IO.Pipelines;
        using System.Linq;
        using System.Net;
        using System.Net.Security;
        using System.Net.Sockets;
        using System.Security.Cryptography.X509Certificates;
        using System.Text;
        using System.Threading;
        using System.Threading.Tasks;
        using KestrelEpollTransport;
        using Microsoft.AspNetCore.Builder;
        using Microsoft.AspNetCore.Connections;
        using Microsoft.AspNetCore.Connections.Features;
        using Microsoft.AspNetCore.Hosting;
        using Microsoft.AspNetCore.Http;
        using Microsoft.AspNetCore.Http.Features;
        using Microsoft.Extensions.Configuration;
        using Microsoft.Extensions.DependencyInjection;
        using Microsoft.Extensions.Hosting;
        using Microsoft.Extensions.Logging;
        using Microsoft.Extensions.Logging.Abstractions;
        using Microsoft.Extensions.Options;
        using OpenTelemetry.Metrics;
        """;

    /// <summary>What the SDK adds to a console application, for pages that have the rest in a block of their own.</summary>
    private const string ImplicitUsings =
        """
        using System;
        using System.Collections.Generic;
        using System.IO;
        using System.Linq;
        using System.Net.Http;
        using System.Threading;
        using System.Threading.Tasks;

        """;

    /// <summary>What the SDK adds to a web application, for all other pages.</summary>
    private const string WebUsings = ImplicitUsings +
        """
        using System.Net.Http.Json;
        using Microsoft.AspNetCore.Builder;
        using Microsoft.AspNetCore.Hosting;
        using Microsoft.AspNetCore.Http;
        using Microsoft.AspNetCore.Routing;
        using Microsoft.Extensions.Configuration;
        using Microsoft.Extensions.DependencyInjection;
        using Microsoft.Extensions.Hosting;
        using Microsoft.Extensions.Logging;
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
        string usings = Pages.BlocksOf(page, "csharp").Select(static block => block.Text).Where(IsOfUsings).Select(static text => ImplicitUsings + text)
            .SingleOrDefault(WebUsings);
        foreach ((int line, string code) in Pages.BlocksOf(page, "csharp"))
        {
            foreach (Diagnostic error in Compile(code, usings).Where(diagnostic => diagnostic.Severity == DiagnosticSeverity.Error))
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
        Assert.Contains(Compile("builder.WebHost.UseEpollTransport(options => options.NoSuchOption = 1);", Usings),
            diagnostic => diagnostic.Id == "CS1061");
    }

    private static bool IsOfUsings(string code) => code.Split('\n').All(static line => line.StartsWith("using ", StringComparison.Ordinal));

    /// <param name="code">The snippet.</param>
    /// <param name="usings">What it leaves out; everything else here has its own.</param>
    private static ImmutableArray<Diagnostic> Compile(string code, string usings)
    {
        var parse = CSharpParseOptions.Default.WithLanguageVersion(LanguageVersion.Latest);
        SyntaxTree snippet = CSharpSyntaxTree.ParseText(code, parse);
        bool isProgram = snippet.GetRoot().ChildNodes().Any(static node => node is GlobalStatementSyntax);
        string handler = code.Contains("class EchoHandler", StringComparison.Ordinal) ? "" : Handler;
        CSharpCompilation compilation = CSharpCompilation.Create(
            "Snippet",
            [snippet, .. new[] { Globally(usings), Usings + Given, Usings + handler }.Select(text => CSharpSyntaxTree.ParseText(text, parse))],
            References(),
            new CSharpCompilationOptions(
                isProgram ? OutputKind.ConsoleApplication : OutputKind.DynamicallyLinkedLibrary, nullableContextOptions: NullableContextOptions.Enable));
        return compilation.GetDiagnostics();
    }

    private static string Globally(string usings) => usings.Replace("using ", "global using ", StringComparison.Ordinal) + "global using static Given;";

    /// <summary>Everything that this process could load: the framework's assemblies, ASP.NET Core's, and ours.</summary>
    private static MetadataReference[] References()
        => [.. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!)
            .Split(Path.PathSeparator)
            .Select(path => MetadataReference.CreateFromFile(path))];
}
