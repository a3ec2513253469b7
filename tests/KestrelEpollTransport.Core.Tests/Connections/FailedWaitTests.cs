using System.IO.Pipelines;
using System.Net.Sockets;
using KestrelEpollTransport.Connections;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>A wait that was failed because it blocked its loop fails once.</summary>
public class FailedWaitTests
{
    /// <summary>Of the versions that an operation can have.</summary>
    private const int Versions = 1 << 16;

    [Fact]
    public Task ReadsAfterAFailedWait_DoNotFail() => FailOneAndCancelAsync(reads: 100);

    [Fact]
    public Task ReadsAfterAFailedWait_UntilItsVersionComesAgain_DoNotFail() => FailOneAndCancelAsync(Versions + 2);

    private static async Task FailOneAndCancelAsync(int reads)
    {
        using TestTransport transport = new();
        ConnectionContext connection = transport.Connect(Wire.Unix, out Socket peer);
        using Socket _ = peer;
        PipeReader input = connection.Transport.Input;
        await CancelOneAsync(input);
        Task<ReadResult> failed = input.ReadAsync().AsTask();
        Assert.True(((EpollConnection)connection).TryFailOwnWait());
        InvalidOperationException error = await Assert.ThrowsAsync<InvalidOperationException>(() => failed.OrTimeout());
        Assert.Contains(nameof(ApplicationScheduling.UnsafeInline), error.Message, StringComparison.Ordinal);

        for (int i = 0; i < reads; i++)
        {
            Exception? thrown = await Record.ExceptionAsync(() => CancelOneAsync(input));
            Assert.True(thrown is null, $"Read {i + 1} after the failed one: {thrown}");
        }

        await connection.DisposeAsync().OrTimeout();
    }

    private static async Task CancelOneAsync(PipeReader input)
    {
        ValueTask<ReadResult> read = input.ReadAsync();
        input.CancelPendingRead();
        ReadResult result = await read.ConfigureAwait(false);
        Assert.True(result.IsCanceled);
        input.AdvanceTo(result.Buffer.Start);
    }
}
