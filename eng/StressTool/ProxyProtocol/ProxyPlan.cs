using System.Text;
using KestrelEpollTransport;

namespace StressTool.ProxyProtocol;

/// <summary>What begins a connection.</summary>
internal enum Beginning
{
    Header,
    SpoiltHeader,
    NoHeader,
}

/// <summary>How a client ends its side.</summary>
internal enum ClientEnd
{
    /// <summary>Not before the server has.</summary>
    Waits,
    HalfCloses,

    /// <summary>Both directions, somewhere in what is to be sent.</summary>
    Closes,
    Resets,
}

/// <summary>What has to come of a connection.</summary>
internal enum Expected
{
    /// <summary>An answer to each request, with the addresses of the header or else the connection's own.</summary>
    Answers,

    /// <summary>None.</summary>
    NoAnswer,

    /// <summary>Any end.</summary>
    AnEnd,
}

/// <summary>One connection, decided by a seed.</summary>
internal sealed record ProxyPlan(
    ProxyProtocolMode Mode, bool IsTrusted, Beginning Beginning, Header Header, byte[] Sent, int Requests, ClientEnd End, int EndsAt, int LargestPiece, bool Pauses)
{
    private const string Request = "GET / HTTP/1.1\r\nHost: localhost\r\n";

    // Kestrel aborts a request whose client has half-closed, if it has not answered by then.
    public Expected Expected => Beginning == Beginning.SpoiltHeader || End is ClientEnd.Closes or ClientEnd.Resets ? Expected.AnEnd
        : !IsAllowed || Requests == 0 ? Expected.NoAnswer
        : End == ClientEnd.Waits ? Expected.Answers : Expected.AnEnd;

    /// <summary>Whether the addresses are those of <see cref="Header"/>.</summary>
    public bool TellsHeader => Beginning == Beginning.Header && Header.Source is not null;

    // A header of an untrusted source is garbage to HTTP.
    private bool IsAllowed => Beginning == Beginning.Header ? IsTrusted : IsTrusted ? Mode == ProxyProtocolMode.Optional : Mode != ProxyProtocolMode.Required;

    public static ProxyPlan Create(Random random)
    {
        var mode = (ProxyProtocolMode)random.Next(3);
        bool isTrusted = random.Next(3) != 0;
        var beginning = (Beginning)random.Next(3);
        Header header = HeaderMaker.Make(random);
        byte[] start = beginning switch
        {
            Beginning.Header => header.Bytes,
            Beginning.SpoiltHeader => HeaderMaker.Spoil(random, header.Bytes),
            _ => [],
        };

        int requests = random.Next(4);
        ClientEnd end = random.Next(10) switch { < 5 => ClientEnd.Waits, < 7 => ClientEnd.HalfCloses, 7 => ClientEnd.Closes, _ => ClientEnd.Resets };
        var text = new StringBuilder();
        for (int i = 1; i <= requests; i++)
        {
            text.Append(Request).Append(i == requests && end == ClientEnd.Waits ? "Connection: close\r\n\r\n" : "\r\n");
        }

        byte[] sent = [.. start, .. Encoding.ASCII.GetBytes(text.ToString())];
        // Some 200 pieces at most, or a busy machine takes longer than the header may.
        int largestPiece = Math.Max(sent.Length / 100, random.Next(4) switch { 0 => 1, 1 => random.Next(2, 20), 2 => random.Next(20, 200), _ => int.MaxValue });
        return new ProxyPlan(mode, isTrusted, beginning, header, sent, requests, end, random.Next(sent.Length + 1), largestPiece, Pauses: random.Next(8) == 0);
    }

    public override string ToString() =>
        $"{Mode}, {(IsTrusted ? "trusted" : "not trusted")}, {Beginning}, {Requests} requests, {End} at {EndsAt} of {Sent.Length}, pieces of {LargestPiece}: {Convert.ToHexString(Sent)}";
}
