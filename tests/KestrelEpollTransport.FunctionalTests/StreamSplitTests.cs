using System.IO.Pipelines;
using System.Net.Sockets;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>
/// Urgent data and ancillary data end a receive early, so a short read proves nothing there: what stands
/// behind the split must still be read without any further event.
/// </summary>
public class StreamSplitTests
{
    [Theory, AllTransports]
    public async Task UrgentByte_BetweenData_StrandsNothing(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await SendSplitAsync(pair.Client);

        Assert.Equal("abcdef", await pair.Input.ReadTextAsync(6));
    }

    [Theory, AllTransports]
    public async Task UrgentByte_WhileReadIsPending_StrandsNothing(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        for (int i = 0; i < 50; i++)
        {
            Task<string> read = pair.Input.ReadTextAsync(6);
            await SendSplitAsync(pair.Client);
            Assert.Equal("abcdef", await read);
        }
    }

    [Theory, AllTransports]
    public async Task UrgentByte_Only_NeitherEndsNorFailsTheConnection(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Task<string> read = pair.Input.ReadTextAsync(4);

        await pair.Client.SendAsync("!"u8.ToArray(), SocketFlags.OutOfBand).OrTimeout();
        await pair.Client.SendAsync("data");

        Assert.Equal("data", await read);
        await pair.Output.WriteTextAsync("on");
        Assert.Equal("on", await pair.Client.ReceiveTextAsync(2));
    }

    [Theory, AllTransports]
    public async Task UrgentByte_BeforeFin_LosesNeitherDataNorTheEnd(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await SendSplitAsync(pair.Client);
        pair.Client.Shutdown(SocketShutdown.Send);

        Assert.Equal("abcdef"u8.ToArray(), await pair.Input.ReadToEndAsync());
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task PassedDescriptor_BetweenData_StrandsNothing(TransportKind kind, bool readFirst)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewAbstractEndPoint());
        for (int i = 0; i < 20; i++)
        {
            Task<string>? early = readFirst ? pair.Input.ReadTextAsync(9) : null;
            await pair.Client.SendAsync("abc");
            Libc.SendWithDescriptor(pair.Client, "def"u8, pair.Client.Handle);
            await pair.Client.SendAsync("ghi");
            Assert.Equal("abcdefghi", await (early ?? pair.Input.ReadTextAsync(9)));
        }
    }

    [Theory, AllTransports]
    public async Task PassedDescriptor_NobodyAskedFor_IsNotLeaked(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewAbstractEndPoint());
        string path = Path.GetTempFileName();
        using (var file = File.OpenHandle(path))
        {
            for (int i = 0; i < 20; i++)
            {
                Libc.SendWithDescriptor(pair.Client, "x"u8, file.DangerousGetHandle());
            }

            await pair.Input.ReadTextAsync(20);

            // One is ours. Any more would be a way to exhaust a server from outside.
            Assert.Single(Directory.GetFiles("/proc/self/fd"), fd => new FileInfo(fd).LinkTarget == path);
        }

        File.Delete(path);
    }

    [Theory, AllTransports]
    public async Task HalfCloseWithDataInFlight_InManySizes_LosesNeitherDataNorTheEnd(TransportKind kind)
    {
        // Sizes around a block: the FIN may come with the last bytes, and no event follows it.
        foreach (int size in new[] { 1, 4095, 4096, 4097, 8192, 65_536, 200_000 })
        {
            await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
            byte[] data = Net.Pattern(size);
            Task<byte[]> read = pair.Input.ReadToEndAsync();
            await pair.Client.SendAllAsync(data);
            pair.Client.Shutdown(SocketShutdown.Send);

            Net.AssertSame(data, await read);
            await pair.Closed.OrTimeout();
            Task<FlushResult> answer = pair.Output.WriteAsync(data).AsTask();
            Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(size));
            await answer.OrTimeout();
        }
    }

    private static async Task SendSplitAsync(Socket client)
    {
        await client.SendAsync("abc");
        await client.SendAsync("!"u8.ToArray(), SocketFlags.OutOfBand).OrTimeout();
        await client.SendAsync("def");
    }
}
