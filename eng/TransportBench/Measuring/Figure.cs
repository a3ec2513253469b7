namespace TransportBench.Measuring;

/// <summary>Which way a figure gets better.</summary>
internal enum Better
{
    Lower,
    Higher,

    /// <summary>It explains others.</summary>
    Neither,
}

/// <summary>A kind of number that a turn yields.</summary>
/// <param name="Key">As in the JSON file.</param>
/// <param name="Title">As in tables, with the unit.</param>
/// <param name="Better">Which way it gets better.</param>
internal sealed record Figure(string Key, string Title, Better Better)
{
    /// <summary>Whether it is left out of the table on the terminal.</summary>
    public bool IsDetail { get; init; }
}

/// <summary>The figures that most scenarios have.</summary>
internal static class Figures
{
    /// <summary>How many requests the others are about. Not in any table.</summary>
    public static readonly Figure Requests = new("requests", "requests", Better.Neither);

    public static readonly Figure ProcessorTime = new("cpu-us", "CPU µs a request", Better.Lower);
    public static readonly Figure RequestsPerSecond = new("rps", "requests/s", Better.Higher);
    public static readonly Figure P50 = new("p50-ms", "p50 ms", Better.Lower);
    public static readonly Figure P90 = new("p90-ms", "p90 ms", Better.Lower) { IsDetail = true };
    public static readonly Figure P99 = new("p99-ms", "p99 ms", Better.Lower);
    public static readonly Figure P999 = new("p99.9-ms", "p99.9 ms", Better.Lower) { IsDetail = true };
    public static readonly Figure UserTime = new("user-us", "of it user", Better.Lower) { IsDetail = true };
    public static readonly Figure SystemTime = new("system-us", "of it system", Better.Lower) { IsDetail = true };

    /// <summary>
    /// Between the server's threads and to others. Where its threads share a processor this says how many requests they take at a
    /// time: on Sockets it goes with how many threads the pool uses at the moment.
    /// </summary>
    public static readonly Figure ContextSwitches = new("switches", "context switches", Better.Lower) { IsDetail = true };

    public static readonly Figure ServerBusy = new("server-busy", "server CPU %", Better.Neither) { IsDetail = true };

    /// <summary>Of what its threads can use. From <see cref="ClientLimit.SaturatedPercent"/> on, the generator is what is slow.</summary>
    public static readonly Figure ClientBusy = new("client-busy", "client CPU %", Better.Neither);

    /// <summary>
    /// Of the whole machine, with what the host gives to other machines. Above a few, the turn was about them too.
    /// </summary>
    public static readonly Figure OthersBusy = new("others-busy", "others' CPU %", Better.Neither);

    public static readonly Figure Resident = new("rss-mib", "RSS MiB", Better.Lower) { IsDetail = true };
    public static readonly Figure Heap = new("heap-mib", "heap MiB", Better.Lower) { IsDetail = true };
    public static readonly Figure Allocated = new("allocated-bytes", "allocated B a request", Better.Lower) { IsDetail = true };
    public static readonly Figure Generation0 = new("gen0", "GCs gen 0", Better.Lower) { IsDetail = true };
    public static readonly Figure Generation1 = new("gen1", "gen 1", Better.Lower) { IsDetail = true };
    public static readonly Figure Generation2 = new("gen2", "gen 2", Better.Lower) { IsDetail = true };
}
