using System.Diagnostics;
using System.Runtime.InteropServices;
using KestrelEpollTransport;

namespace Restart;

/// <summary>Starts the next process of this program when the signal comes, and ends this one once that one serves.</summary>
internal sealed class Successors(ListenerHandover handover, IHostApplicationLifetime lifetime, string[] arguments)
{
    private static readonly TimeSpan s_timeToServe = TimeSpan.FromSeconds(30);

    public void OnSignal(PosixSignalContext context)
    {
        // Otherwise the runtime goes on to end the process.
        context.Cancel = true;
        _ = ReplaceAsync();
    }

    private async Task ReplaceAsync()
    {
        using var timeout = new CancellationTokenSource(s_timeToServe);
        try
        {
            using Process next = await handover.StartSuccessorAsync(Describe(), timeout.Token);
            lifetime.StopApplication();
        }
        catch (Exception exception)
        {
            // As if nothing had happened: a new version that can't start costs nobody anything.
            await Console.Error.WriteLineAsync($"process {Environment.ProcessId} goes on, there is no successor: {exception.Message}");
        }
    }

    // The same program again: by its own executable, or by dotnet and its assembly.
    private ProcessStartInfo Describe()
    {
        string program = Environment.ProcessPath!;
        bool isHost = Path.GetFileNameWithoutExtension(program) == "dotnet";
        return new ProcessStartInfo(program, isHost ? [Environment.GetCommandLineArgs()[0], .. arguments] : arguments);
    }
}
