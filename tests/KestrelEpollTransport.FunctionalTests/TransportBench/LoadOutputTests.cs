using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Processes;

namespace KestrelEpollTransport.FunctionalTests.TransportBench;

/// <summary>What other programs print is read rightly: a figure that is read wrongly looks like any other.</summary>
public class LoadOutputTests
{
    private const string H2loadReport = """
        Main benchmark duration is over for thread #0. Stopping all clients.

        finished in 2.01s, 51643.50 req/s, 2.37MB/s
        requests: 103290 total, 103799 started, 103290 done, 103287 succeeded, 1 failed, 2 errored, 4 timeout
        status codes: 103280 2xx, 0 3xx, 8 4xx, 16 5xx
        traffic: 4.73MB (4960635) total, 304.50KB (311813) headers (space savings 96.49%), 2.66MB (2788749) data
                             min         max         mean         sd        +/- sd
        time for request:      748us     65.67ms      7.03ms      4.59ms    92.88%
        """;

    [Fact]
    public void WrkOutput_OurLineAmongItsOwn_IsRead()
    {
        LoadResult result = WrkOutput.Parse("""
            Running 1s test @ http://127.0.0.1:41555/json
              5791 requests in 1.02s, 0.93MB read
            Requests/sec:   5660.16
            figures requests=5791 microseconds=1020000 bytes=978679 errors=3 p50=4929 p90=11586 p99=44791 p999=45393
            """);

        Assert.Equal(new LoadResult(5791, 1.02, new Latency(4.929, 11.586, 44.791, 45.393), 3, 978679), result);
    }

    [Fact]
    public void WrkOutput_WithoutOurLine_Fails() =>
        Assert.Throws<LoadFailedException>(() => WrkOutput.Parse("unable to connect to 127.0.0.1:1 Connection refused"));

    [Fact]
    public void H2loadOutput_EveryKindOfError_IsCounted()
    {
        LoadResult result = H2loadOutput.Parse(H2loadReport, []);

        Assert.Equal(103287, result.Requests);
        Assert.Equal(1 + 2 + 4 + 8 + 16, result.Errors);
        Assert.Equal(2788749, result.Bytes);
        Assert.Equal(51643.5, result.Requests / result.Seconds, precision: 1);
    }

    [Fact]
    public void H2loadOutput_Log_GivesPercentiles()
    {
        IEnumerable<string> log = Enumerable.Range(1, 1001).Reverse().Select(static i => $"1795472463643069\t200\t{i * 1000}");

        Assert.Equal(new Latency(501, 901, 991, 1000), H2loadOutput.Parse(H2loadReport, log).Latency);
    }

    [Fact]
    public void StraceOutput_RowsWithAndWithoutErrors_AreRead()
    {
        IReadOnlyDictionary<string, long> calls = StraceOutput.Parse("""
            % time     seconds  usecs/call     calls    errors syscall
            ------ ----------- ----------- --------- --------- ----------------
             61.17    1.234567          12     40000       317 recvfrom
             38.83    0.700000          20     20000           sendto
            ------ ----------- ----------- --------- --------- ----------------
            100.00    1.934567          32     60000       317 total
            """);

        Assert.Equal(new Dictionary<string, long> { ["recvfrom"] = 40000, ["sendto"] = 20000 }, calls);
    }
}
