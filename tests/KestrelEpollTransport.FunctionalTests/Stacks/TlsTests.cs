using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>Certificates of clients, and certificates by the name that a client asks for (SNI).</summary>
public sealed class TlsTests : IDisposable
{
    private static readonly Version[] s_versions = [HttpVersion.Version11, HttpVersion.Version20];

    private readonly Dictionary<string, X509Certificate2> _certificates =
        new[] { "one.example", "two.example", "client" }.ToDictionary(static name => name, KestrelHost.CreateCertificate);

    [Theory, AllTransports]
    public async Task ClientCertificate_Required_IsKnownToTheRequest(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind, https =>
        {
            https.ServerCertificate = _certificates["one.example"];
            https.ClientCertificateMode = ClientCertificateMode.RequireCertificate;
            https.AllowAnyClientCertificate();
        });
        foreach (Version version in s_versions)
        {
            using HttpClient known = CreateClient(host, "one.example", version, "client");
            Assert.Equal("client", await AskAsync(known, "one.example"));

            using HttpClient unknown = CreateClient(host, "one.example", version);
            await Assert.ThrowsAsync<HttpRequestException>(() => AskAsync(unknown, "one.example"));
        }

        host.AssertTransportWasCalm();
    }

    [Theory]
    [AllTransports(SslProtocols.Tls12), AllTransports(SslProtocols.Tls13)]
    public async Task ClientCertificate_AskedForByTheRequest_IsKnownFromThenOn(TransportKind kind, SslProtocols protocol)
    {
        // Another handshake, or a part of one, while the connection is in use. HTTP/2 forbids it (RFC 9113, 9.2.1; RFC 8740).
        await using KestrelHost host = await StartAsync(kind, https =>
        {
            https.ServerCertificate = _certificates["one.example"];
            https.ClientCertificateMode = ClientCertificateMode.DelayCertificate;
            https.SslProtocols = protocol;
            https.AllowAnyClientCertificate();
        });
        using HttpClient client = CreateClient(host, "one.example", HttpVersion.Version11, "client");

        Assert.Equal("nobody", await AskAsync(client, "one.example"));
        Assert.Equal("client", await AskAsync(client, "one.example", "/ask"));
        Assert.Equal("client", await AskAsync(client, "one.example"));
        host.AssertTransportWasCalm();
    }

    [Theory, AllTransports]
    public async Task ServerCertificate_OfASelector_IsOfTheNameAskedFor(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind, https =>
            https.ServerCertificateSelector = (_, name) => name is not null && _certificates.TryGetValue(name, out X509Certificate2? one) ? one : null);
        foreach (Version version in s_versions)
        {
            foreach (string name in new[] { "one.example", "two.example" })
            {
                using HttpClient client = CreateClient(host, name, version);
                Assert.Equal("nobody", await AskAsync(client, name));
            }
        }

        using HttpClient stranger = CreateClient(host, "one.example", HttpVersion.Version11);
        await Assert.ThrowsAsync<HttpRequestException>(() => AskAsync(stranger, "three.example"));
        host.AssertTransportWasCalm();
    }

    [Theory, AllTransports]
    public async Task TlsOptions_OfACallback_AreOfTheNameAskedFor(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, AnswerAsync, listen => listen.UseHttps(new TlsHandshakeCallbackOptions
        {
            OnConnection = async context =>
            {
                await Task.Delay(1, context.CancellationToken);
                return new SslServerAuthenticationOptions
                {
                    ServerCertificate = _certificates[context.ClientHelloInfo.ServerName],
                    ClientCertificateRequired = context.ClientHelloInfo.ServerName == "two.example",
                    RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is null || IsOf("client", certificate),
                    ApplicationProtocols = [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11],
                };
            },
        }));
        foreach (Version version in s_versions)
        {
            using HttpClient one = CreateClient(host, "one.example", version, "client");
            Assert.Equal("nobody", await AskAsync(one, "one.example"));
            using HttpClient two = CreateClient(host, "two.example", version, "client");
            Assert.Equal("client", await AskAsync(two, "two.example"));
        }

        host.AssertTransportWasCalm();
    }

    public void Dispose()
    {
        foreach (X509Certificate2 certificate in _certificates.Values)
        {
            certificate.Dispose();
        }
    }

    private static Task<KestrelHost> StartAsync(TransportKind kind, Action<HttpsConnectionAdapterOptions> configure) =>
        KestrelHost.StartAsync(kind, AnswerAsync, listen => listen.UseHttps(configure));

    private static async Task AnswerAsync(HttpContext context)
    {
        X509Certificate2? certificate = context.Request.Path == "/ask"
            ? await context.Connection.GetClientCertificateAsync(context.RequestAborted)
            : context.Connection.ClientCertificate;
        await context.Response.WriteAsync(certificate?.GetNameInfo(X509NameType.SimpleName, forIssuer: false) ?? "nobody");
    }

    /// <summary>Asks by a name that no resolver knows.</summary>
    private static Task<string> AskAsync(HttpClient client, string name, string path = "/") =>
        client.GetStringAsync(new Uri($"https://{name}{path}")).OrTimeout();

    private bool IsOf(string name, X509Certificate? certificate) => certificate?.GetCertHashString() == _certificates[name].GetCertHashString();

    /// <summary>Trusts the certificate of <paramref name="server"/> only, and shows that of <paramref name="client"/>, if given.</summary>
    private HttpClient CreateClient(KestrelHost host, string server, Version version, string? client = null)
    {
        SocketsHttpHandler handler = KestrelHost.CreateHandler();
        handler.ConnectCallback = async (_, _) => new System.Net.Sockets.NetworkStream(await host.ConnectAsync(), ownsSocket: true);
        handler.SslOptions.RemoteCertificateValidationCallback = (_, certificate, _, _) => IsOf(server, certificate);
        handler.SslOptions.LocalCertificateSelectionCallback = client is null ? null : (_, _, _, _, _) => _certificates[client];
        return host.CreateClient(handler, version);
    }
}
