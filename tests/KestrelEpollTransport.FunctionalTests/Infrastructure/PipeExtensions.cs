using System.Buffers;
using System.IO.Pipelines;
using System.Text;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>What a test does with the server's end of a connection.</summary>
internal static class PipeExtensions
{
    public static async Task<byte[]> ReadExactlyAsync(this PipeReader reader, int count)
    {
        byte[] data = new byte[count];
        int read = 0;
        while (read < count)
        {
            ReadResult result = await reader.ReadAsync().OrTimeout();
            ReadOnlySequence<byte> taken = result.Buffer.Slice(0, Math.Min(result.Buffer.Length, count - read));
            taken.CopyTo(data.AsSpan(read));
            read += (int)taken.Length;
            Assert.False(result.IsCompleted && read < count, $"The stream ended after {read} of {count} bytes.");
            reader.AdvanceTo(taken.End);
        }

        return data;
    }

    public static async Task<string> ReadTextAsync(this PipeReader reader, int count) =>
        Encoding.ASCII.GetString(await reader.ReadExactlyAsync(count));

    public static async Task<byte[]> ReadToEndAsync(this PipeReader reader)
    {
        using var all = new MemoryStream();
        while (true)
        {
            ReadResult result = await reader.ReadAsync().OrTimeout();
            foreach (ReadOnlyMemory<byte> segment in result.Buffer)
            {
                all.Write(segment.Span);
            }

            reader.AdvanceTo(result.Buffer.End);
            if (result.IsCompleted)
            {
                return all.ToArray();
            }
        }
    }

    /// <summary>Examines everything and consumes nothing until <paramref name="count"/> bytes are there.</summary>
    public static async Task<ReadResult> ReadWithoutConsumingAsync(this PipeReader reader, int count)
    {
        while (true)
        {
            ReadResult result = await reader.ReadAsync().OrTimeout();
            if (result.Buffer.Length >= count)
            {
                return result;
            }

            Assert.False(result.IsCompleted);
            reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        }
    }

    public static async Task<FlushResult> WriteTextAsync(this PipeWriter writer, string text) =>
        await writer.WriteAsync(Encoding.ASCII.GetBytes(text)).OrTimeout();

    public static string Text(this ReadOnlySequence<byte> buffer) => Encoding.ASCII.GetString(buffer);
}
