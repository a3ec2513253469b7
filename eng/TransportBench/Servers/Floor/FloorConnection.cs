using System.Globalization;
using System.Text;

namespace TransportBench.Servers.Floor;

/// <summary>
/// Finds the ends of requests and answers each with the bytes that Kestrel would send. Understands what the scenarios
/// send: GET without a body, the same path on the whole connection, and "Connection: close" for JSON only.
/// </summary>
/// <param name="generation">Tells connections apart that had the same descriptor.</param>
internal sealed class FloorConnection(uint generation)
{
    private const int MostAnswersAtOnce = 512;
    private static readonly string s_date = DateTime.UtcNow.ToString("R", CultureInfo.InvariantCulture);

    private static readonly byte[] s_json = Repeat(MostAnswersAtOnce, Json(""));
    private static readonly byte[] s_lastJson = Repeat(1, Json("Connection: close\r\n"));

    private static readonly byte[] s_plaintext = Repeat(
        MostAnswersAtOnce,
        $"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\nDate: {s_date}\r\n\r\nHello, World!");

    private byte[]? _answers;
    private int _matched;

    public uint Generation => generation;

    /// <summary>The answers to all requests that end in what was received.</summary>
    public ReadOnlySpan<byte> Answer(ReadOnlySpan<byte> received, out bool isLast)
    {
        // What is received first is the beginning of a request.
        _answers ??= received.StartsWith("GET /json"u8) ? s_json : s_plaintext;
        isLast = received.IndexOf("Connection: close"u8) >= 0;
        if (isLast)
        {
            return s_lastJson;
        }

        int count = Math.Min(CountEnds(received), MostAnswersAtOnce);
        return _answers.AsSpan(0, _answers.Length / MostAnswersAtOnce * count);
    }

    private static string Json(string header) =>
        $"HTTP/1.1 200 OK\r\n{header}Content-Type: application/json; charset=utf-8\r\nDate: {s_date}\r\nTransfer-Encoding: chunked\r\n\r\n"
        + "1b\r\n{\"message\":\"Hello, World!\"}\r\n0\r\n\r\n";

    private static byte[] Repeat(int count, string answer) =>
        Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(answer, count)));

    // An end may be split: what is matched so far is kept.
    private int CountEnds(ReadOnlySpan<byte> received)
    {
        ReadOnlySpan<byte> end = "\r\n\r\n"u8;
        if (_matched == 0 && received.EndsWith(end))
        {
            return received.Count(end);
        }

        int count = 0;
        foreach (byte b in received)
        {
            _matched = b == end[_matched] ? _matched + 1 : b == end[0] ? 1 : 0;
            if (_matched == end.Length)
            {
                _matched = 0;
                count++;
            }
        }

        return count;
    }
}
