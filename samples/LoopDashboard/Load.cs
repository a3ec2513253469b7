namespace LoopDashboard;

/// <summary>Asks the program itself, over loopback: many for what is cheap, in waves, and now and then for what blocks; a few for what always does.</summary>
internal static class Load
{
    private const int Cheap = 48;
    private const int Blocking = 6;

    public static async Task RunAsync(Uri address, CancellationToken stopping)
    {
        // Each has connections of its own: what is known of one is known of the connection.
        using var cheap = new HttpClient { BaseAddress = address };
        using var blocking = new HttpClient { BaseAddress = address };
        try
        {
            await Task.WhenAll([
                .. Enumerable.Range(0, Cheap).Select(i => AskAsync(cheap, i * 40, static asked => asked % 2_000 == 1_999 ? "block?ms=12" : "hello", Wave)),
                .. Enumerable.Range(0, Blocking).Select(i => AskAsync(blocking, i, static asked => $"block?ms={(asked % 40 == 39 ? 60 : 4)}", static _ => 25)),
            ]);
        }
        catch (OperationCanceledException)
        {
            // The program ends.
        }

        // Pauses of 2 to 42 ms, and back, in 24 s.
        static int Wave(int seconds) => 2 + (40 * Math.Abs((seconds % 24) - 12) / 12);

        async Task AskAsync(HttpClient client, int first, Func<int, string> path, Func<int, int> pauseMs)
        {
            for (int asked = first; ; asked++)
            {
                await client.GetStringAsync(new Uri(path(asked), UriKind.Relative), stopping);
                await Task.Delay(pauseMs((int)(Environment.TickCount64 / 1000)), stopping);
            }
        }
    }
}
