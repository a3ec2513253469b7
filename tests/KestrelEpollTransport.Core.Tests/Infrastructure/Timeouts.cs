using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Tests;

/// <summary>Every await of a test goes through here, so a hang names what hung instead of stopping the run.</summary>
internal static class Timeouts
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    public static async Task OrTimeout(this Task task, [CallerArgumentExpression(nameof(task))] string? what = null)
    {
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

    /// <summary>For what only a look can tell (a count of the process's descriptors, say): looks until it holds.</summary>
    public static async Task UntilAsync(Func<bool> holds, [CallerArgumentExpression(nameof(holds))] string? what = null)
    {
        long deadlineMs = Environment.TickCount64 + (long)Limit.TotalMilliseconds;
        while (!holds())
        {
            if (Environment.TickCount64 > deadlineMs)
            {
                throw new TimeoutException($"'{what}' did not become true within {Limit.TotalSeconds} s.");
            }

            await Task.Delay(5).ConfigureAwait(false);
        }
    }
}
