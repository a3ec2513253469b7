using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Every await of a test goes through here, so a hang names what hung instead of stopping the run.</summary>
internal static class Timeouts
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    public static async Task OrTimeout(this Task task, [CallerArgumentExpression(nameof(task))] string? what = null)
    {
        // The runner's context, if any, must not be needed here: a test may block it while it waits.
        if (await Task.WhenAny(task, Task.Delay(Limit)).ConfigureAwait(false) != task)
        {
            throw new TimeoutException($"'{what}' did not complete within {Limit.TotalSeconds} s.");
        }

        await task.ConfigureAwait(false);
    }

    public static async Task<T> OrTimeout<T>(this Task<T> task, [CallerArgumentExpression(nameof(task))] string? what = null)
    {
        await OrTimeout((Task)task, what).ConfigureAwait(false);
        return await task.ConfigureAwait(false);
    }

    public static Task OrTimeout(this ValueTask task, [CallerArgumentExpression(nameof(task))] string? what = null) =>
        task.AsTask().OrTimeout(what);

    public static Task<T> OrTimeout<T>(this ValueTask<T> task, [CallerArgumentExpression(nameof(task))] string? what = null) =>
        task.AsTask().OrTimeout(what);
}
