using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using TransportBench.Processes;

namespace TransportBench.Load;

/// <summary>
/// Asks once before each turn and compares the answer byte by byte, with the client of the framework: the generators
/// look at status codes and lengths only.
/// </summary>
/// <param name="Address">Where, and for what.</param>
/// <param name="Body">What has to be the answer.</param>
internal sealed record Probe(Uri Address, byte[] Body)
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);

    /// <summary>The version that is demanded.</summary>
    public Version Version { get; init; } = HttpVersion.Version11;

    /// <summary>How many bytes are sent with POST; 0: GET.</summary>
    public int UploadBytes { get; init; }

    /// <summary>The path of a unix socket, or empty for TCP.</summary>
    public string UnixSocket { get; init; } = "";

    /// <exception cref="LoadFailedException">There is another answer, or none.</exception>
    public void Check()
    {
        try
        {
            byte[] body = AskAsync().WaitAsync(s_limit).GetAwaiter().GetResult();
            if (!body.AsSpan().SequenceEqual(Body))
            {
                throw new LoadFailedException($"{Address} was answered wrongly, with {body.Length} bytes instead of these {Body.Length}");
            }
        }
        catch (Exception e) when (e is HttpRequestException or TimeoutException)
        {
            throw new LoadFailedException($"{Address}: {e.Message}", e);
        }
    }

    private async Task<byte[]> AskAsync()
    {
        using var client = new HttpClient(NewHandler());
        using var request = new HttpRequestMessage(UploadBytes > 0 ? HttpMethod.Post : HttpMethod.Get, Address)
        {
            Version = Version,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = UploadBytes > 0 ? new ByteArrayContent(new byte[UploadBytes]) : null,
        };
        using HttpResponseMessage answer = await client.SendAsync(request).ConfigureAwait(false);
        return await answer.EnsureSuccessStatusCode().Content.ReadAsByteArrayAsync().ConfigureAwait(false);
    }

    private SocketsHttpHandler NewHandler()
    {
        var handler = new SocketsHttpHandler
        {
            SslOptions = new SslClientAuthenticationOptions
            {
                // Each server has made its certificate itself, so nobody vouches for it.
                RemoteCertificateValidationCallback = static (_, certificate, _, _) => certificate?.Subject == "CN=localhost",
            },
        };
        if (UnixSocket.Length > 0)
        {
            handler.ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(UnixSocket), cancellationToken).ConfigureAwait(false);
                return new NetworkStream(socket, ownsSocket: true);
            };
        }

        return handler;
    }
}
