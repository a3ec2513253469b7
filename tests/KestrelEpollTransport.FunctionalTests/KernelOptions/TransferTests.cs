using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests.KernelOptions;

/// <summary>Data through sockets whose limits are small: where the kernel takes little at a time, and says so in its own way.</summary>
public class TransferTests
{
    private const string WhyNotSockets = "the options are ours";

    [Theory]
    [EpollTransports(WhyNotSockets, false), EpollTransports(WhyNotSockets, true)]
    public async Task SmallLimits_LoseNothingInEitherDirection(TransportKind kind, bool multipath)
    {
        byte[] data = Net.Pattern(2 * 1024 * 1024);
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.ConfigureOurs = options =>
        {
            options.Sockets.NotSentLowWatermark = 4_096;
            options.Sockets.SendBufferSize = 32_768;
            options.Sockets.ReceiveBufferSize = 32_768;
            options.Sockets.QuickAck = multipath ? null : true;
            options.Sockets.CongestionControl = "reno";
            options.Sockets.Multipath = multipath;
        });

        Task up = pair.Client.SendAllAsync(data);
        Net.AssertSame(data, await pair.Input.ReadExactlyAsync(data.Length));
        await up.OrTimeout();

        Task down = Task.Run(() => pair.Output.WriteAsync(data).AsTask());
        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(data.Length));
        await down.OrTimeout();
    }

    [Theory]
    [EpollTransports(WhyNotSockets)]
    public async Task Abort_OfAMultipathListenersConnection_ResetsTheClient(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.ConfigureOurs = options => options.Sockets.Multipath = true);

        pair.Server.Abort(new ConnectionAbortedException("Enough."));

        await pair.Client.AssertResetAsync();
    }
}
