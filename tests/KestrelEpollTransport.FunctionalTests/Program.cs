using KestrelEpollTransport.FunctionalTests.Restarting;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>
/// What runs when a test starts this assembly as a child process, because it needs limits of its own.
/// The test runner loads the assembly without it.
/// </summary>
internal static class Program
{
    public static async Task<int> Main(string[] args)
    {
        if (args is [DescriptorLimitServer.Command, var kind])
        {
            await DescriptorLimitServer.RunAsync(Enum.Parse<TransportKind>(kind));
            return 0;
        }

        if (args is [LingeringServer.Command, var transport, var wire])
        {
            await LingeringServer.RunAsync(Enum.Parse<TransportKind>(transport), wire);
            return 0;
        }

        if (args is [AsyncVoidServer.Command, var served])
        {
            await AsyncVoidServer.RunAsync(Enum.Parse<TransportKind>(served));
            return 0;
        }

        if (args is [HandoverServer.Command, var scheduling, var unixPath])
        {
            await HandoverServer.RunAsync(Enum.Parse<TransportKind>(scheduling), unixPath);
            return 0;
        }

        await Console.Error.WriteLineAsync("This is a test assembly; run it with 'dotnet test'.");
        return 1;
    }
}
