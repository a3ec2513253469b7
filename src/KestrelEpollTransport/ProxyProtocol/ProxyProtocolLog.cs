using System.Net;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.ProxyProtocol;

/// <summary>Why a connection was closed before anything of it was served: one line each, at Debug, as it is the other side's doing.</summary>
internal static partial class ProxyProtocolLog
{
    /// <summary>Apart from the transport's, because it may be another's connection.</summary>
    public const string Category = "KestrelEpollTransport.ProxyProtocol";

    [LoggerMessage(
        40, LogLevel.Debug, @"Connection id ""{ConnectionId}"" of ""{Source}"" closed: {Reason}", EventName = "ProxyProtocolRefused", SkipEnabledCheck = true)]
    public static partial void Refused(ILogger logger, string connectionId, EndPoint? source, string reason);

    public static string Describe(HeaderError error) => "The PROXY protocol header is malformed: " + error switch
    {
        HeaderError.LineTooLong => "no end of the line within 107 bytes.",
        HeaderError.LineEnd => "a CR or LF that is not the line's end.",
        HeaderError.Fields => "a field is missing, or not separated by exactly one space.",
        HeaderError.Protocol => "the protocol is none of TCP4, TCP6 and UNKNOWN.",
        HeaderError.Address => "an address is none of its family.",
        HeaderError.Port => "a port is not a number from 0 to 65535, or something is behind the last one.",
        HeaderError.Version => "the version is not 2.",
        HeaderError.Command => "the command is neither LOCAL nor PROXY.",
        HeaderError.Family => "the address family or protocol is unknown.",
        HeaderError.TooLong => "it is longer than MaxHeaderSize.",
        HeaderError.AddressesCutOff => "it ends within the addresses.",
        HeaderError.Tlvs => "the values do not fill it.",
        HeaderError.Checksum => "the checksum is wrong.",
        _ => throw new ArgumentOutOfRangeException(nameof(error), error, "There is nothing to describe."),
    };
}
