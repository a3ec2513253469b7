using System.Diagnostics;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;

namespace TransportBench.Client;

/// <summary>
/// Opens TLS connections at a rate, asks once on each and closes it. A thread keeps the time; the handshakes run on the
/// thread pool.
/// </summary>
internal sealed class TlsLoad(LoadGroup group, PhaseClock clock)
{
    private static readonly SslClientAuthenticationOptions s_options = new()
    {
        TargetHost = "localhost",
        // Each server has made its certificate itself, so nobody vouches for it.
        RemoteCertificateValidationCallback = static (_, certificate, _, _) => certificate?.Subject == "CN=localhost",
        // A new client: every handshake is a full one.
        AllowTlsResume = false,
    };

    private readonly Recorder _recorder = new(clock);
    private readonly HashSet<long> _waiting = [];
    private readonly Lock _lock = new();

    public void Start() => new Thread(Pace) { IsBackground = true, Name = "TLS connections" }.Start();

    public GroupReport ToReport()
    {
        lock (_lock)
        {
            foreach (long due in _waiting)
            {
                _recorder.OnStillWaiting(due, clock.PhaseCount - 1);
            }

            return _recorder.ToReport(group.Name);
        }
    }

    private void Pace()
    {
        for (int i = 0; ; i++)
        {
            long due = clock.After(group.StartAfter + (i / group.ConnectionsPerSecond));
            if (due >= clock.End)
            {
                return;
            }

            TimeSpan left = Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due);
            if (left > TimeSpan.Zero)
            {
                Thread.Sleep(left);
            }

            lock (_lock)
            {
                _waiting.Add(due);
            }

            _ = AskAsync(due);
        }
    }

    private async Task AskAsync(long due)
    {
        try
        {
            using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync(IPAddress.Loopback, group.Port).ConfigureAwait(false);
            using var tls = new SslStream(new NetworkStream(socket));
            await tls.AuthenticateAsClientAsync(s_options).ConfigureAwait(false);
            bool isRight = await ExchangeAsync(tls, group.Exchanges[0]).ConfigureAwait(false);
            Record(due, isRight ? null : "wrong answer over TLS");
        }
        catch (Exception e) when (e is SocketException or IOException or System.Security.Authentication.AuthenticationException)
        {
            Record(due, e.Message);
        }
    }

    private static async Task<bool> ExchangeAsync(SslStream tls, Exchange exchange)
    {
        await tls.WriteAsync(exchange.Request).ConfigureAwait(false);
        byte[] buffer = new byte[2048];
        int received = 0;
        while (!buffer.AsSpan(0, received).EndsWith(exchange.AnswerEnd))
        {
            int read = await tls.ReadAsync(buffer.AsMemory(received)).ConfigureAwait(false);
            if (read == 0)
            {
                return false;
            }

            received += read;
        }

        return buffer.AsSpan(0, received).StartsWith(exchange.AnswerStart);
    }

    private void Record(long due, string? error)
    {
        long now = Stopwatch.GetTimestamp();
        lock (_lock)
        {
            _waiting.Remove(due);
            if (error is null)
            {
                _recorder.OnAnswer(due, now);
            }
            else
            {
                _recorder.OnError(error, now);
            }
        }
    }
}
