namespace KestrelEpollTransport.Connections;

/// <summary>
/// Makes connection ids that look like those of the stock transport: 13 characters, base 32, ascending, and
/// different after a restart. Thread-safe.
/// </summary>
internal static class ConnectionIds
{
    private const string Digits = "0123456789ABCDEFGHIJKLMNOPQRSTUV";

    private static long s_last = DateTime.UtcNow.Ticks;

    public static string Next() => string.Create(13, Interlocked.Increment(ref s_last), static (text, id) =>
    {
        // 13 characters of 5 bits are 65 bits: all of it.
        for (int i = text.Length - 1; i >= 0; i--)
        {
            text[i] = Digits[(int)(id & 31)];
            id = (long)((ulong)id >> 5);
        }
    });
}
