using System.Diagnostics;
using System.IO.Pipelines;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>An application that waits for the end of a large message keeps much, and examines it again and again.</summary>
[Collection(RunsAlone.Name)]
public class KeptBytesTests
{
    private const int Attempts = 5;
    private const int Rounds = 5;
    private const int Reads = 400;

    private const string WhyNotSockets = "Its readers are Kestrel's own pipes.";

    [Theory, EpollTransports(WhyNotSockets, false), EpollTransports(WhyNotSockets, true)]
    public async Task AdvanceTo_MuchIsKept_CostsAsMuchAsBesideLittle(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.MaxReadBufferSize = null, Net.NewEndPoint(unix));
        await ReadOneByOneAsync(pair, kept: 1024);

        TimeSpan besideLittle = await ReadOneByOneAsync(pair, kept: 64 * 1024);
        TimeSpan besideMuch = TimeSpan.MaxValue;
        for (int i = 0; i < Attempts && besideMuch >= 5 * besideLittle; i++)
        {
            // Threads that happen to sleep between two reads do so for a whole attempt.
            TimeSpan attempt = await ReadOneByOneAsync(pair, kept: 64 * 1024 * 1024);
            besideMuch = attempt < besideMuch ? attempt : besideMuch;
        }

        Assert.True(
            besideMuch < 5 * besideLittle,
            $"{besideLittle.TotalMilliseconds:F1} ms beside little, {besideMuch.TotalMilliseconds:F1} ms beside much.");
    }

    /// <summary>The best of a few rounds: the rest is the machine's.</summary>
    private static async Task<TimeSpan> ReadOneByOneAsync(ConnectionPair pair, int kept)
    {
        Task send = pair.Client.SendAllAsync(new byte[kept]);
        ReadResult all = await pair.Input.ReadWithoutConsumingAsync(kept);
        pair.Input.AdvanceTo(all.Buffer.Start, all.Buffer.End);
        await send.OrTimeout();

        byte[] one = new byte[1];
        Task<TimeSpan> reading = Task.Run(async () =>
        {
            TimeSpan best = TimeSpan.MaxValue;
            for (int round = 0; round < Rounds; round++)
            {
                var watch = Stopwatch.StartNew();
                for (int i = 1; i <= Reads; i++)
                {
                    pair.Client.Send(one);
                    ReadResult result = await pair.Input.ReadAsync();
                    Assert.Equal(kept + (round * Reads) + i, result.Buffer.Length);
                    pair.Input.AdvanceTo(result.Buffer.Start, result.Buffer.End);
                }

                best = watch.Elapsed < best ? watch.Elapsed : best;
            }

            return best;
        });
        TimeSpan elapsed = await reading.OrTimeout();

        pair.Client.Send(one);
        ReadResult last = await pair.Input.ReadAsync().OrTimeout();
        pair.Input.AdvanceTo(last.Buffer.End);
        return elapsed;
    }
}
