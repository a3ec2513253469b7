using KestrelEpollTransport.Connections;
using Microsoft.AspNetCore.Connections;

namespace StressTool;

/// <summary>Posts to the context of a connection from many threads; what is posted blocks, and waits for what it posts itself.</summary>
internal sealed class ContextLoad(ApplicationContext context, int seed, Figures figures)
{
    /// <summary>How long what is posted, and each wait inside, may take.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private const int Threads = 4;
    private const int MostPosts = 8;

    /// <summary>
    /// So many at a time: where all that is posted counts as blocking, each piece that waits, one in eight, may cost 100 ms until there is one
    /// worker more. Hundreds of them at once, and few workers, do not end in time.
    /// </summary>
    private const int MostAtATime = 32;

    private static int s_count;

    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _left;

    /// <summary>For one connection in four that has a context. Ends when all that was posted has run.</summary>
    public static async Task MaybeAsync(ConnectionContext connection, int seed, Figures figures)
    {
        if (seed % 4 != 0 || connection.Features.Get<ApplicationContext>() is not { } context)
        {
            return;
        }

        try
        {
            if (Interlocked.Increment(ref s_count) <= MostAtATime)
            {
                await new ContextLoad(context, seed, figures).RunAsync();
            }
        }
        finally
        {
            Interlocked.Decrement(ref s_count);
        }
    }

    private async Task RunAsync()
    {
        int each = new Random(seed).Next(1, MostPosts + 1);
        _left = Threads * each;
        for (int thread = 0; thread < Threads; thread++)
        {
            int first = seed + (thread * each);
            _ = Task.Run(() =>
            {
                for (int i = 0; i < each; i++)
                {
                    context.Post(number => RunPiece(new Random((int)number!)), first + i);
                }
            });
        }

        await _done.Task.WaitAsync(Limit);
    }

    private void RunPiece(Random random)
    {
        if (SynchronizationContext.Current != context)
        {
            figures.Fail($"a piece ran under {SynchronizationContext.Current}");
        }

        figures.Count("posted to a context");
        Blocking.Maybe(random, figures);
        if (random.Next(8) == 0)
        {
            figures.Count("waited for its own posts");
            if (!AwaitAsync(random.Next(1, 4)).Wait(Limit))
            {
                figures.Fail("what a piece waited for did not run");
            }
        }

        if (Interlocked.Decrement(ref _left) == 0)
        {
            _done.SetResult();
        }
    }

    private static async Task AwaitAsync(int times)
    {
        for (int i = 0; i < times; i++)
        {
            await (i % 2 == 0 ? Task.Delay(1) : Task.Run(static () => { }));
        }
    }
}
