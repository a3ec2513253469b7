namespace KestrelEpollTransport.Diagnostics;

/// <summary>What one look at a TCP connection has to tell: what it is, and what came to its counts since the look before.</summary>
/// <param name="Target">Whose connection it is; see <see cref="TcpMetrics"/>.</param>
/// <param name="MinRoundTripSeconds">Null: none was measured.</param>
/// <param name="DeliveryRate">Bytes a second; null: none was measured, or only what the application sent.</param>
/// <param name="Sent">Segments with data.</param>
/// <param name="Retransmitted">Segments that were sent again.</param>
/// <param name="Spurious">Of those, segments that had arrived.</param>
/// <param name="Recurring">At its end: how many times in succession the oldest segment had been sent again.</param>
internal readonly record struct TcpSample(
    string Target, double? MinRoundTripSeconds, long? DeliveryRate, long Sent, long Retransmitted, long Spurious, long Recurring);
