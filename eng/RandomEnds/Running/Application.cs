using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using RandomEnds.Plans;

namespace RandomEnds.Running;

/// <summary>
/// The application's side. One flow of control uses it, on whatever thread the transport resumes it; the token's
/// callback and a flush go on beside it.
/// </summary>
internal sealed class Application
{
    public const string Reason = "the application has its reasons";
    public const string Error = "the application failed";
    private const int SlowReads = 5;

    /// <summary>Messages, and bytes of each.</summary>
    private const int WritesOn = 100;

    private readonly ConnectionContext _connection;
    private readonly CasePlan _plan;
    private readonly Observation _seen;
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task<FlushResult> _flushing = Task.FromResult(default(FlushResult));
    private Task _writingOn = Task.CompletedTask;
    private Task<ReadResult>? _waitingRead;

    public Application(ConnectionContext connection, CasePlan plan, Observation seen)
    {
        _connection = connection;
        _plan = plan;
        _seen = seen;
        connection.ConnectionClosed.UnsafeRegister(static self => ((Application)self!).OnClosed(), this);
    }

    /// <summary>Completes when ConnectionClosed has fired and the reaction in its callback is over.</summary>
    public Task Closed => _closed.Task;

    private PipeReader Input => _connection.Transport.Input;

    private PipeWriter Output => _connection.Transport.Output;

    /// <summary>Consumes so many bytes, all of which have been sent.</summary>
    public async Task ReadAsync(int count)
    {
        for (int left = count; left > 0;)
        {
            ReadResult result = await Input.ReadAsync();
            ReadOnlySequence<byte> taken = result.Buffer.Slice(0, Math.Min(left, result.Buffer.Length));
            Take(taken, _seen.Read);
            left -= (int)taken.Length;
            if (result.IsCompleted && left > 0)
            {
                throw new CaseFailedException($"the application's stream ended {left} bytes before it should have");
            }

            Input.AdvanceTo(taken.End);
        }
    }

    /// <summary>A read that waits when the end comes. It is the first of <see cref="ReadToEndAsync"/>.</summary>
    public void StartReading() => _waitingRead = Input.ReadAsync().AsTask();

    /// <summary>Flushes the next bytes of the pattern, in the background, once the flush before is done.</summary>
    public async Task StartFlushingAsync(int count)
    {
        await _flushing;
        ReadOnlyMemory<byte> bytes = Pattern.ToClient.Slice(_plan.Start + _seen.Flushed, count);
        _seen.Flushed += count;
        _flushing = Output.WriteAsync(bytes).AsTask();
    }

    /// <summary>
    /// Writes small messages beside everything else until it is told that nobody receives them. One of these sends may
    /// take the socket's error before a receive can.
    /// </summary>
    /// <returns>When some have been written, and it is going on.</returns>
    public Task StartWritingOnAsync()
    {
        var underWay = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _writingOn = Task.Run(async () =>
        {
            for (int i = 0; i < WritesOn; i++)
            {
                if (i == _plan.Start % (WritesOn / 4))
                {
                    underWay.SetResult();
                }

                await StartFlushingAsync(WritesOn);
                if ((await _flushing).IsCompleted)
                {
                    return;
                }
            }
        });
        return underWay.Task;
    }

    public async Task FlushEndsAsync()
    {
        _seen.Doing = "waiting for the writes from aside to end";
        await _writingOn;
        _seen.Doing = "waiting for the flush to end";
        bool isCompleted = (await _flushing).IsCompleted;
        _seen.FlushIsCompleted ??= isCompleted;
    }

    /// <summary>One more write: whatever it says, it may not throw.</summary>
    public async Task WriteLateAsync()
    {
        await FlushEndsAsync();
        _seen.Doing = "writing late";
        await StartFlushingAsync(1);
        await _flushing;
    }

    public void Abort(bool withReason) =>
        _connection.Abort(withReason ? new ConnectionAbortedException(Reason) : null!);

    public async Task CompleteOutputAsync(Exception? error = null)
    {
        await FlushEndsAsync();
        _seen.Note($"application: completes the output{(error is null ? "" : " with an error")}");
        await Output.CompleteAsync(error);
    }

    public ValueTask CompleteInputAsync() => Input.CompleteAsync();

    /// <summary>In the three ways that a user may take.</summary>
    public void CloseSocket()
    {
        var socket = _connection.Features.Get<IConnectionSocketFeature>()!.Socket;
        switch (_plan.Start % 3)
        {
            case 0:
                socket.Close();
                break;
            case 1:
                socket.Close(0);
                break;
            default:
                socket.Dispose();
                break;
        }
    }

    public ValueTask DisposeAsync() => _connection.DisposeAsync();

    /// <summary>Reads what is left as the plan says, and asks once more how it ended.</summary>
    public async Task ReadToEndAsync()
    {
        _seen.Doing = "reading to the end";
        int before = _seen.Read;
        _seen.ReadEnd = await EndOfAsync(ReadRestAsync);
        _seen.Note($"application: read {_seen.Read - before} bytes to {_seen.ReadEnd}");
        _seen.Doing = "reading behind the end";
        _seen.ReadAgain = await EndOfAsync(ReadAgainAsync);
    }

    private static async Task<string> EndOfAsync(Func<Task> read)
    {
        try
        {
            await read();
            return Observation.CleanEnd;
        }
        catch (Exception e) when (e is not CaseFailedException)
        {
            return Observation.Describe(e);
        }
    }

    private async Task ReadRestAsync()
    {
        int hoarded = 0;
        for (int reads = 0; ; reads++)
        {
            if (_plan.Reading == ReadingStyle.Slow && reads < SlowReads)
            {
                await Task.Delay(1);
            }

            ReadResult result = await (_waitingRead ?? Input.ReadAsync().AsTask());
            _waitingRead = null;
            ReadOnlySequence<byte> buffer = result.Buffer;
            switch (_plan.Reading)
            {
                case ReadingStyle.Portions:
                    buffer = buffer.Slice(0, Math.Min(buffer.Length, 300 + _plan.Unread / 16));
                    Take(buffer, _seen.Read);
                    Input.AdvanceTo(buffer.End);
                    break;
                case ReadingStyle.Hoard:
                    Take(buffer.Slice(hoarded), _seen.Read);
                    hoarded = (int)buffer.Length;
                    Input.AdvanceTo(result.IsCompleted ? buffer.End : buffer.Start, buffer.End);
                    break;
                default:
                    Take(buffer, _seen.Read);
                    Input.AdvanceTo(buffer.End);
                    break;
            }

            if (result.IsCompleted && buffer.End.Equals(result.Buffer.End))
            {
                return;
            }
        }
    }

    private async Task ReadAgainAsync()
    {
        ReadResult result = await Input.ReadAsync();
        Input.AdvanceTo(result.Buffer.End);
        if (!result.IsCompleted || !result.Buffer.IsEmpty)
        {
            throw new CaseFailedException($"a read behind the end returned {result.Buffer.Length} bytes, IsCompleted {result.IsCompleted}");
        }
    }

    private void Take(ReadOnlySequence<byte> bytes, int position)
    {
        foreach (ReadOnlyMemory<byte> segment in bytes)
        {
            if (!Pattern.ToServer.Slice(_plan.Start + position, segment.Length).Span.SequenceEqual(segment.Span))
            {
                _seen.WrongBytes.Enqueue($"the application read others than were sent, in the {segment.Length} behind {position}");
            }

            position += segment.Length;
        }

        _seen.Read = position;
    }

    private void OnClosed()
    {
        _seen.UnreadAtToken = _plan.Sent - _seen.Read;
        _seen.TokenFired = true;
        _seen.Note("application: ConnectionClosed fired");
        try
        {
            if (_plan.IsEndOfClient && _plan.Reaction is Reaction.AbortNull or Reaction.AbortNullReadLate or Reaction.AbortReason)
            {
                _seen.Note($"application: {_plan.Reaction} in the token's callback");
                Abort(_plan.Reaction == Reaction.AbortReason);
            }
        }
        catch (Exception e)
        {
            _seen.Surprises.Enqueue($"in the token's callback: {e}");
        }

        _closed.TrySetResult();
    }
}
