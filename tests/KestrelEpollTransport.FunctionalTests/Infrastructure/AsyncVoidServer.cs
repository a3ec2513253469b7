using Microsoft.AspNetCore.Http;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>A server in a process of its own, as a method of it that nobody can await throws behind an await.</summary>
internal static class AsyncVoidServer
{
    public const string Command = "async-void";
    public const string Message = "of async void";

    public static async Task RunAsync(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, static context =>
        {
            ThrowLater();
            return context.Response.WriteAsync("done");
        });
        using HttpClient client = host.CreateClient();
        await client.GetStringAsync(host.Address).OrTimeout();
        await Task.Delay(Timeouts.Limit);
    }

#pragma warning disable VSTHRD100, CA1849 // It is what this is about.
    private static async void ThrowLater()
#pragma warning restore VSTHRD100, CA1849
    {
        await Task.Delay(1);
        throw new InvalidOperationException(Message);
    }
}
