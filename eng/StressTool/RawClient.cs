using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace StressTool;

/// <summary>The client's side over a plain socket: it can half-close, reset, and read as slowly as it likes.</summary>
internal sealed class RawClient(Socket socket, Plan plan, int seed, Figures figures, ReceivedCount received)
{
    private int _cut;

    private long Received
    {
        get => received.Bytes;
        set => received.Bytes = value;
    }

    public static async Task<Socket> ConnectAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        var socket = new Socket(endpoint.AddressFamily, SocketType.Stream, endpoint is IPEndPoint ? ProtocolType.Tcp : ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(endpoint, cancellationToken);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    public async Task RunAsync()
    {
        try
        {
            byte[] header = new byte[Plan.HeaderSize];
            plan.WriteHeader(header);
            await SendAllAsync(header);
            await Task.WhenAll(ClosingOnError(SendAsync()), ClosingOnError(ReceiveAsync()));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or CutOffException && !plan.IsGraceful)
        {
            figures.Count($"client saw {(e as SocketException)?.SocketErrorCode.ToString() ?? e.GetType().Name}");
        }
    }

    private async Task SendAsync()
    {
        var random = new Random(seed);
        if (plan.Mode != Mode.Source)
        {
            byte[] buffer = new byte[64 * 1024];
            for (long sent = 0; sent < plan.Length;)
            {
                await StepAsync(random, sent);
                int size = (int)Math.Min(plan.Length - sent, random.Next(1, 1 + buffer.Length >> random.Next(12)));
                Pattern.Fill(buffer.AsSpan(0, size), plan.Seed, sent);
                await SendAllAsync(buffer.AsMemory(0, size));
                sent += size;
            }
        }

        // An echo ends when the client has; the others may as well be told that no more will come, or not.
        if (plan.Mode == Mode.Echo || random.Next(2) == 0)
        {
            figures.Count("half-closed by a client");
            socket.Shutdown(SocketShutdown.Send);
        }
    }

    /// <summary>When one direction has failed, the other must not wait for a server that waits for us.</summary>
    private async Task ClosingOnError(Task direction)
    {
        try
        {
            await direction;
        }
        catch
        {
            socket.Close();
            throw;
        }
    }

    private async Task SendAllAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await socket.SendAsync(bytes)..];
        }
    }

    private async Task ReceiveAsync()
    {
        var random = new Random(seed + 1);
        byte[] buffer = new byte[64 * 1024];
        byte[] receipt = new byte[sizeof(long)];
        long expected = plan.Mode == Mode.Sink ? receipt.Length : plan.Length;
        while (true)
        {
            await StepAsync(random, Received);
            int count = await socket.ReceiveAsync(buffer.AsMemory(0, random.Next(1, 1 + buffer.Length >> random.Next(12))));
            if (count == 0)
            {
                break;
            }

            if (Received + count > expected)
            {
                throw new StressFailureException($"{Received + count} bytes came of {expected}");
            }

            if (plan.Mode == Mode.Sink)
            {
                buffer.AsSpan(0, count).CopyTo(receipt.AsSpan((int)Received));
            }
            else
            {
                CheckReceived(buffer.AsSpan(0, count));
            }

            Received += count;
            figures.AddBytes(count);
        }

        if (plan.IsGraceful && (Received != expected || (plan.Mode == Mode.Sink && BinaryPrimitives.ReadInt64LittleEndian(receipt) != plan.Length)))
        {
            throw new StressFailureException($"{Received} bytes came of {expected}");
        }
    }

    private void CheckReceived(ReadOnlySpan<byte> bytes) => Pattern.Check(bytes, plan.Seed, Received);

    private async ValueTask StepAsync(Random random, long position)
    {
        if (plan.Client.Quirks.HasFlag(Quirks.Pauses) && random.Next(8) == 0)
        {
            await Task.Delay(random.Next(20));
        }

        if (plan.Client.Cut != Cut.None && position >= plan.Client.CutAt && Interlocked.Exchange(ref _cut, 1) == 0)
        {
            bool reset = plan.Client.Cut is Cut.Reset or Cut.AbortWithReason;
            figures.Count(reset ? "reset by a raw client" : "closed by a raw client");
            if (reset)
            {
                socket.LingerState = new LingerOption(true, 0);
            }

            socket.Close();
            throw new CutOffException();
        }
    }
}
