using System.Globalization;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Win32.SafeHandles;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>
/// An echo server in a process whose descriptors are limited. It prints its port, and for every line on its
/// standard input one line about the two seconds that follow: CPU in percent of one core, log lines a second of
/// the transport, connections accepted since the start, descriptors left (16: that many or more).
/// </summary>
internal static class DescriptorLimitServer
{
    public const string Command = "descriptor-limit";

    /// <summary>How many free descriptors it counts.</summary>
    public const int MostCounted = 16;

    private static readonly TimeSpan s_window = TimeSpan.FromSeconds(2);

    public static async Task RunAsync(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        int accepted = 0;
        Task serving = EchoServer.ServeAsync(listener, () => Interlocked.Increment(ref accepted));
        await Console.Out.WriteLineAsync(((IPEndPoint)listener.EndPoint).Port.ToString(CultureInfo.InvariantCulture));

        while (await Console.In.ReadLineAsync() is not null)
        {
            int linesBefore = CountLines(transport);
            TimeSpan cpuBefore = Environment.CpuUsage.TotalTime;
            await Task.Delay(s_window);
            double cpu = 100 * (Environment.CpuUsage.TotalTime - cpuBefore) / s_window;
            double lines = (CountLines(transport) - linesBefore) / s_window.TotalSeconds;
            await Console.Out.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"{cpu:F1} {lines:F1} {Volatile.Read(ref accepted)} {CountDescriptorsLeft()}"));
        }

        await listener.UnbindAsync();
        await serving;
    }

    // No more than it has to: who needs one at the same moment still gets it.
    private static int CountDescriptorsLeft()
    {
        List<SafeFileHandle> opened = [];
        try
        {
            while (opened.Count < MostCounted)
            {
                opened.Add(File.OpenHandle("/dev/null"));
            }
        }
        catch (IOException)
        {
            // That was the last one.
        }

        opened.ForEach(handle => handle.Dispose());
        return opened.Count;
    }

    private static int CountLines(Transport transport) => transport.Logs.Of(transport.Kind).Count(e => e.Level >= LogLevel.Debug);
}
