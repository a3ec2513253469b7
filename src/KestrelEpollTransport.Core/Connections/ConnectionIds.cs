namespace KestrelEpollTransport.Connections;

/// <summary>
/// Makes connection ids that look like those of the stock transport: 13 characters, base 32, ascending, and
/// different after a restart. Thread-safe.
/// </summary>
internal static class ConnectionIds
{
    private const string Digits = "0123456789ABCDEFGHIJKLMNOPQRSTUV";

    // 13 characters of 5 bits are 65 bits: all of it.
    private const int Length = 13;

    private static long s_last = DateTime.UtcNow.Ticks;

    public static string Next() => string.Create(Length, Interlocked.Increment(ref s_last), static (text, id) =>
    {
        for (int i = Length - 1; i >= 0; i--)
        {
            text[i] = Digits[(int)(id & 31)];
            id = (long)((ulong)id >> 5);
        }
    });
}
