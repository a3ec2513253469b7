using System.Net.Sockets;
using RandomEnds.Plans;

namespace RandomEnds.Running;

/// <summary>
/// The client's side: a plain socket. One flow of control uses it, except that a send and a receive to the end go on
/// in the background.
/// </summary>
internal sealed class Client(Socket socket, CasePlan plan, Observation seen) : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(1);

    private readonly byte[] _buffer = new byte[32 * 1024];
    private readonly CancellationTokenSource _reset = new();
    private Task _sending = Task.CompletedTask;
    private int _sent;

    /// <summary>Completes when the server's stream has ended, after <see cref="StartReceivingToEnd"/>.</summary>
    public Task Receiving { get; private set; } = Task.CompletedTask;

    /// <summary>Sends the next bytes of the pattern, in the background.</summary>
    public void StartSending(int count)
    {
        ReadOnlyMemory<byte> bytes = Pattern.ToServer.Slice(plan.Start + _sent, count);
        _sent += count;
        _sending = SendAfterAsync(_sending, bytes);
    }

    public async Task ReceiveAsync(int count)
    {
        for (int left = count; left > 0;)
        {
            int received = await socket.ReceiveAsync(_buffer.AsMemory(0, Math.Min(left, _buffer.Length)));
            if (received == 0)
            {
                throw new CaseFailedException($"the client's stream ended {left} bytes before it should have");
            }

            Take(received);
            left -= received;
        }
    }

    public void StartReceivingToEnd() => Receiving = ReceiveToEndAsync();

    /// <summary>FIN behind everything that was sent. It may wait for the application to read, so this is in the background.</summary>
    public void StartEnding(bool close) => _sending = EndAfterAsync(_sending, close);

    /// <summary>Has everything sent in the server's kernel, if that fits there. A reset would take the rest with it.</summary>
    public async Task PrepareResetAsync()
    {
        if (plan.FitsAhead)
        {
            seen.AllArrived = await AllArrivesAsync();
        }

        if (plan.Family == Family.Unix)
        {
            // A unix socket has no RST: what tells the other side is that something it sent was never read.
            while (socket.Available == 0)
            {
                await Task.Delay(1);
            }
        }
    }

    public async Task ResetAsync()
    {
        // Who disposes a socket beside a pending send has .NET shut it down first, which on a unix socket is a FIN before the reset.
        await _reset.CancelAsync();
        await _sending;
        seen.Note("client: resets");
        socket.LingerState = new LingerOption(enable: true, seconds: 0);
        socket.Dispose();
    }

    public void Dispose()
    {
        socket.Dispose();
        _reset.Dispose();
    }

    private async Task SendAfterAsync(Task previous, ReadOnlyMemory<byte> bytes)
    {
        await previous;
        try
        {
            while (!bytes.IsEmpty)
            {
                bytes = bytes[await socket.SendAsync(bytes, _reset.Token)..];
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The server ended the connection, or this side did. What the server makes of it is what counts.
            seen.Note($"client: a send failed with {e.Message}");
        }
    }

    private async Task EndAfterAsync(Task previous, bool close)
    {
        await previous;
        seen.Note(close ? "client: closes" : "client: half-closes");
        if (close)
        {
            socket.Dispose();
            return;
        }

        try
        {
            socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The server was faster, or the case is over: the sends before waited for that long.
        }
    }

    private async Task<bool> AllArrivesAsync()
    {
        // A kernel that thinks its buffer full asks for the rest only when the application has read more, or when it is
        // probed, at ever longer intervals: after a while the reset comes without it.
        using var patience = new CancellationTokenSource(s_patience);
        await Task.WhenAny(_sending, Task.Delay(Timeout.Infinite, patience.Token));
        while (plan.Family == Family.Tcp && Kernel.CountUnacknowledged(socket) > 0 && !patience.IsCancellationRequested)
        {
            await Task.Delay(1);
        }

        return !patience.IsCancellationRequested;
    }

    private async Task ReceiveToEndAsync()
    {
        try
        {
            while (await socket.ReceiveAsync(_buffer) is var received and > 0)
            {
                Take(received);
            }

            seen.ClientEnd = Observation.Eof;
        }
        catch (SocketException e)
        {
            seen.ClientEnd = e.SocketErrorCode == SocketError.ConnectionReset ? Observation.Reset : e.SocketErrorCode.ToString();
        }

        seen.Note($"client: sees {seen.ClientEnd} after {seen.Received} bytes");
    }

    private void Take(int received)
    {
        if (!Pattern.ToClient.Slice(plan.Start + seen.Received, received).Span.SequenceEqual(_buffer.AsSpan(0, received)))
        {
            seen.WrongBytes.Enqueue($"the client received others than were flushed, in the {received} behind {seen.Received}");
        }

        seen.Received += received;
    }
}
