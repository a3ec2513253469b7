using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace StressTool;

/// <summary>
/// One side of a connection of the transport, server's or client's: reads and writes as its role says and checks
/// every byte. One caller may read while another writes; <see cref="CloseAsync"/> comes after both.
/// </summary>
internal sealed class PipeEnd
{
    private const int MostHoarded = 64 * 1024;
    private const int MostCancels = 30;

    private readonly ConnectionContext _connection;
    private readonly PipeReader _input;
    private readonly PipeWriter _output;
    private readonly Role _role;
    private readonly Figures _figures;

    // Reader only.
    private readonly Random _readRandom;

    // Writer only.
    private readonly Random _writeRandom;

    private readonly List<Task> _aside = [];
    private Task<FlushResult>? _abandonedFlush;
    private bool _outputCompleted;
    private int _closedEvents;
    private int _cut;
    private volatile bool _closed;
    private volatile bool _abandonsNextFlush;

    public PipeEnd(ConnectionContext connection, Role role, int seed, Figures figures)
    {
        _connection = connection;
        _input = connection.Transport.Input;
        _output = connection.Transport.Output;
        _role = role;
        _figures = figures;
        _readRandom = new Random(seed);
        _writeRandom = new Random(seed + 1);
        connection.ConnectionClosed.UnsafeRegister(static self => Interlocked.Increment(ref ((PipeEnd)self!)._closedEvents), this);
        if (role.Quirks.HasFlag(Quirks.Cancels))
        {
            _aside.Add(Task.Run(CancelNowAndThenAsync));
        }

        if (role.Quirks.HasFlag(Quirks.Blocks))
        {
            var random = new Random(seed + 2);
            connection.ConnectionClosed.UnsafeRegister(_ => Blocking.Maybe(random, figures), null);
        }

        if (role.Quirks.HasFlag(Quirks.UsesSocket))
        {
            UseSocket();
        }
    }

    public long Received { get; private set; }

    public long Sent { get; private set; }

    public static async Task<Plan?> ReadHeaderAsync(PipeReader input)
    {
        ReadResult result = await input.ReadAtLeastAsync(Plan.HeaderSize);
        if (result.Buffer.Length < Plan.HeaderSize)
        {
            input.AdvanceTo(result.Buffer.End);
            return null;
        }

        byte[] header = result.Buffer.Slice(0, Plan.HeaderSize).ToArray();
        input.AdvanceTo(result.Buffer.GetPosition(Plan.HeaderSize));
        return Plan.ReadHeader(header);
    }

    /// <summary>Receives some bytes, checks them, and writes them to <paramref name="copyTo"/> if there is one.</summary>
    /// <returns>False once there will be no more.</returns>
    public async ValueTask<bool> ReadAsync(ulong seed, long length, PipeWriter? copyTo = null)
    {
        await StepAsync(_readRandom, Received);
        ReadResult result = await ReadSomehowAsync(length - Received);
        MayBlock(_readRandom);
        ReadOnlySequence<byte> buffer = result.Buffer;
        if (!result.IsCompleted && MayHoard(buffer.Length, length))
        {
            _input.AdvanceTo(buffer.Start, buffer.End);
            return true;
        }

        long taken = result.IsCompleted || _readRandom.Next(4) != 0 ? buffer.Length : _readRandom.NextInt64(buffer.Length + 1);
        if (Received + taken > length)
        {
            throw new StressFailureException($"{Received + taken} bytes received of {length}");
        }

        buffer = buffer.Slice(0, taken);
        foreach (ReadOnlyMemory<byte> segment in buffer)
        {
            Pattern.Check(segment.Span, seed, Received);
            Received += segment.Length;
            copyTo?.Write(segment.Span);
        }

        _figures.AddBytes(taken);
        MayBlock(_readRandom);
        _input.AdvanceTo(buffer.End);
        MayBlock(_readRandom);
        return !result.IsCompleted;
    }

    /// <summary>Writes the next bytes of a stream, and flushes them now or with later ones.</summary>
    public async ValueTask WriteAsync(ulong seed, long length)
    {
        await StepAsync(_writeRandom, Sent);
        int chunk = (int)Math.Min(length - Sent, _writeRandom.Next(1 << _writeRandom.Next(1, 18)));
        int hint = _role.Quirks.HasFlag(Quirks.LargeMemory) ? chunk : 0;
        while (chunk > 0)
        {
            Span<byte> span = _output.GetSpan(hint);
            span = span[..Math.Min(span.Length, chunk)];
            Pattern.Fill(span, seed, Sent);
            _output.Advance(span.Length);
            Sent += span.Length;
            chunk -= span.Length;
            hint = 0;
            MayBlock(_writeRandom);
        }

        if (Sent == length || _writeRandom.Next(4) != 0)
        {
            await FlushAsync();
            MayBlock(_writeRandom);
        }
    }

    public async ValueTask WriteRawAsync(ReadOnlyMemory<byte> bytes)
    {
        _output.Write(bytes.Span);
        await FlushAsync();
    }

    public async ValueTask FlushAsync()
    {
        if (_abandonsNextFlush)
        {
            // The connection is disposed while this flush may be waiting.
            _abandonedFlush = _output.FlushAsync().AsTask();
            throw new CutOffException();
        }

        // A cancelled flush has lost nothing: what it didn't send is sent with, or before, the next.
        if ((await _output.FlushAsync()).IsCompleted)
        {
            throw new CutOffException();
        }
    }

    /// <summary>Reads what is expected and no more, such as a receipt.</summary>
    public async Task<byte[]> ReadRawAsync(int count)
    {
        while (true)
        {
            ReadResult result = await _input.ReadAtLeastAsync(count);
            if (result.Buffer.Length >= count)
            {
                byte[] bytes = result.Buffer.Slice(0, count).ToArray();
                _input.AdvanceTo(result.Buffer.GetPosition(count));
                return bytes;
            }

            _input.AdvanceTo(result.Buffer.Start, result.Buffer.End);
            if (result.IsCompleted)
            {
                throw new CutOffException();
            }
        }
    }

    /// <summary>Ends a pending read and a pending flush, and makes the next step of both the last. Any thread may call it.</summary>
    public void Stop()
    {
        _closed = true;
        _input.CancelPendingRead();
        _output.CancelPendingFlush();
    }

    public async Task CloseAsync()
    {
        _closed = true;
        MayBlock(_readRandom);
        if (_readRandom.Next(4) == 0 && !_outputCompleted)
        {
            await _output.CompleteAsync();
        }

        if (_readRandom.Next(4) == 0)
        {
            await _input.CompleteAsync();
        }

        await _connection.DisposeAsync();
        if (_readRandom.Next(8) == 0)
        {
            await _connection.DisposeAsync();
        }

        if (Volatile.Read(ref _closedEvents) != 1)
        {
            throw new StressFailureException($"ConnectionClosed had fired {_closedEvents} times when the connection was disposed");
        }

        await Task.WhenAll(_aside);
        if (_abandonedFlush is not null)
        {
            try
            {
                await _abandonedFlush;
            }
            catch (Exception e) when (e is IOException or OperationCanceledException)
            {
                // Only that it ends matters.
            }
        }
    }

    private async ValueTask<ReadResult> ReadSomehowAsync(long left)
    {
        int dice = _readRandom.Next(16);
        if (dice < 2 && _input.TryRead(out ReadResult result))
        {
            return result;
        }

        // Never more than will come, or both sides would wait for the other.
        return dice >= 12 && left > 0 && _role.Quirks.HasFlag(Quirks.ReadsAtLeast)
            ? await _input.ReadAtLeastAsync((int)Math.Min(left, _readRandom.Next(1, MostHoarded)))
            : await _input.ReadAsync();
    }

    private bool MayHoard(long buffered, long length) =>
        _role.Quirks.HasFlag(Quirks.Hoards) && buffered < MostHoarded && Received + buffered < length && _readRandom.Next(2) == 0;

    private void MayBlock(Random random)
    {
        if (_role.Quirks.HasFlag(Quirks.Blocks))
        {
            Blocking.Maybe(random, _figures);
        }
    }

    /// <summary>What happens between two reads or two writes.</summary>
    private async ValueTask StepAsync(Random random, long position)
    {
        if (_closed)
        {
            throw new CutOffException();
        }

        if (_role.Quirks.HasFlag(Quirks.Pauses) && random.Next(8) == 0)
        {
            await Task.Delay(random.Next(20));
        }

        if (_role.Cut != Cut.None && position >= _role.CutAt && Interlocked.Exchange(ref _cut, 1) == 0)
        {
            CutOff(random);
        }
    }

    private void CutOff(Random random)
    {
        _figures.Count($"cut by {_role.Cut}");
        switch (_role.Cut)
        {
            case Cut.CompleteWithError when ReferenceEquals(random, _writeRandom):
                _outputCompleted = true;
                _output.Complete(new CutOffException());
                throw new CutOffException();
            case Cut.Dispose when random.Next(2) == 0:
                _abandonsNextFlush = true;
                return;
            case Cut.CompleteWithError or Cut.Dispose:
                // Completing with an error is the writer's to do; the reader just leaves.
                throw new CutOffException();
        }

        // The reads and writes go on, and have to notice.
        ConnectionAbortedException? reason = _role.Cut == Cut.AbortWithNull ? null : new ConnectionAbortedException("stress");
        if (!_role.Quirks.HasFlag(Quirks.CutsFromAside))
        {
            _connection.Abort(reason!);
            return;
        }

        int spins = random.Next(20_000);
        lock (_aside)
        {
            _aside.Add(Task.Run(() =>
            {
                Thread.SpinWait(spins);
                _connection.Abort(reason!);
            }));
        }
    }

    private async Task CancelNowAndThenAsync()
    {
        var random = new Random(_role.GetHashCode());
        for (int i = 0; i < MostCancels && !_closed; i++)
        {
            _input.CancelPendingRead();
            _output.CancelPendingFlush();
            if (random.Next(2) == 0)
            {
                await Task.Delay(random.Next(3));
            }
            else
            {
                Thread.SpinWait(random.Next(5_000));
            }
        }
    }

    private void UseSocket()
    {
        try
        {
            if (_connection.Features.Get<IConnectionSocketFeature>() is { } feature && feature.Socket.LocalEndPoint is null)
            {
                throw new StressFailureException("the connection's socket has no address");
            }
        }
        catch (Exception e) when (e is System.Net.Sockets.SocketException or ObjectDisposedException)
        {
            // The other side may have reset the connection already.
        }
    }
}
