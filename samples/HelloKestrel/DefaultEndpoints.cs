using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace HelloKestrel;

/// <summary>What is bound when nobody says otherwise: one endpoint of each kind.</summary>
internal static class DefaultEndpoints
{
    private const int HttpPort = 5080;
    private const int Http2Port = 5081;
    private const int HttpsPort = 5443;

    private static readonly string s_unixSocket = Path.Combine(Path.GetTempPath(), "hello-kestrel.sock");

    public static void Listen(KestrelServerOptions kestrel)
    {
        kestrel.ListenLocalhost(HttpPort);
        kestrel.ListenLocalhost(Http2Port, static listen => listen.Protocols = HttpProtocols.Http2);
        kestrel.ListenLocalhost(HttpsPort, static listen => listen.UseHttps());
        DeleteStaleSocket();
        kestrel.ListenUnixSocket(s_unixSocket);
    }

    public static void PrintCurlLines()
    {
        Console.WriteLine($"""
              HTTP/1.1              curl http://localhost:{HttpPort}/
              HTTP/2, no TLS        curl --http2-prior-knowledge http://localhost:{Http2Port}/json
              HTTPS, 1.1 or 2       curl --insecure --http2 https://localhost:{HttpsPort}/json
              unix socket           curl --unix-socket '{s_unixSocket}' http://localhost/
              an upload's SHA-256   head -c 1000000 /dev/zero | curl --upload-file - http://localhost:{HttpPort}/upload
              a download            curl 'http://localhost:{HttpPort}/bytes?n=1000000' | sha256sum

            A WebSocket client gets its messages back from ws://localhost:{HttpPort}/ws.
            """);
    }

    /// <summary>
    /// A server that was killed leaves its socket file behind, and binding to an existing file fails. The file goes only if nobody answers
    /// behind it. By hand, because Sockets has nothing for it; over the epoll transport alone, <c>Sockets.RemoveStaleUnixSocket</c> is safer.
    /// </summary>
    private static void DeleteStaleSocket()
    {
        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(s_unixSocket));
        }
        catch (SocketException)
        {
            File.Delete(s_unixSocket);
        }
    }
}
