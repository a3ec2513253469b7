namespace KestrelEpollTransport.ProxyProtocol;

/// <summary>What is wrong with a header.</summary>
internal enum HeaderError
{
    None,
    LineTooLong,
    LineEnd,
    Fields,
    Protocol,
    Address,
    Port,
    Version,
    Command,
    Family,
    TooLong,
    AddressesCutOff,
    Tlvs,
    Checksum,
}
