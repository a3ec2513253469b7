using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>Code that blocks its loop's thread, with UnsafeInline, on a read that this thread would complete.</summary>
public class OwnWaitTests
{
    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task ReadThatIsWaitedForOnItsLoop_FailsAndTheConnectionGoesOn(Wire wire)
    {
        using TestTransport transport = new(options => options.Scheduling = ApplicationScheduling.UnsafeInline);
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        Task<Exception?> blocked = ReadAndBlockAsync(connection.Transport.Input);

        peer.SendAll([1]);
        InvalidOperationException error = Assert.IsType<InvalidOperationException>(await blocked.OrTimeout());

        Assert.Contains(nameof(ApplicationScheduling.UnsafeInline), error.Message, StringComparison.Ordinal);
        peer.SendAll([2]);
        ReadResult result = await connection.Transport.Input.ReadAsync().OrTimeout();
        Assert.Equal(2, result.Buffer.FirstSpan[0]);
        connection.Transport.Input.AdvanceTo(result.Buffer.End);
        await connection.DisposeAsync().OrTimeout();
    }

    private static async Task<Exception?> ReadAndBlockAsync(PipeReader input)
    {
        // A connection's first read is always resumed: what follows runs on the loop's thread.
        ReadResult result = await input.ReadAsync().ConfigureAwait(false);
        input.AdvanceTo(result.Buffer.End);
        return Record.Exception(() => input.ReadAsync().AsTask().GetAwaiter().GetResult());
    }
}
