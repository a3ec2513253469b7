using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests.KernelOptions;

/// <summary>What fails, or is refused, in the middle of being set up. Counts descriptors: alone.</summary>
[Collection(RunsAlone.Name)]
public class DescriptorTests
{
    [Fact]
    public async Task BindingsThatFail_AndConnectionsThatAreRefused_LeaveNoDescriptor()
    {
        int accepted = 0;
        EpollTransportOptions options = new() { LoopCount = 1, Sockets = { RemoveStaleUnixSocket = true } };
        options.Sockets.ConfigureAcceptedSocket = socket =>
        {
            switch (Interlocked.Increment(ref accepted) % 3)
            {
                case 0:
                    socket.Dispose();
                    break;
                case 1:
                    throw new InvalidOperationException("I don't want it.");
                default:
                    break;
            }
        };
        using EpollTransportFactory factory = new(Options.Create(options), NullLoggerFactory.Instance);
        options.Sockets.Multipath = true;
        options.Sockets.UserTimeout = TimeSpan.FromSeconds(1);
        using EpollTransportFactory refusing = new(Options.Create(options), NullLoggerFactory.Instance);

        // The first round loads what the process needs for all of them.
        await RunRoundAsync(factory, refusing);
        int before = Count();
        for (int round = 0; round < 20; round++)
        {
            await RunRoundAsync(factory, refusing);
        }

        await Net.UntilAsync(() => Count() <= before);
        Assert.Equal(21 * 3, accepted);
    }

    private static async Task RunRoundAsync(EpollTransportFactory factory, EpollTransportFactory refusing)
    {
        UnixDomainSocketEndPoint path = new(Net.NewUnixPath());
        await Assert.ThrowsAsync<SocketException>(() => refusing.BindAsync(Net.AnyLoopbackPort).OrTimeout());
        using (var other = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            other.Bind(path);
            other.Listen();
            await Assert.ThrowsAsync<AddressInUseException>(() => factory.BindAsync(path).OrTimeout());
        }

        await using (IConnectionListener listener = await factory.BindAsync(path).OrTimeout())
        {
            await Assert.ThrowsAsync<AddressInUseException>(() => refusing.BindAsync(path).OrTimeout());
            for (int i = 0; i < 2; i++)
            {
                using Socket refused = await Net.ConnectAsync(path);
                Assert.Empty(await refused.ReceiveToEndAsync());
                if (i == 0)
                {
                    await BindTests.AssertEchoAsync(listener, path);
                }
            }
        }

        File.Delete(path + ".lock");
    }

    private static int Count() => Directory.GetFileSystemEntries("/proc/self/fd").Length;
}
