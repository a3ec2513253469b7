using KestrelEpollTransport;

namespace RealStacks;

/// <summary>A transport, and the mode of ours.</summary>
internal enum ServedBy
{
    Adaptive,
    ScheduleContinuations,
    ThreadPool,
    UnsafeInline,
    Sockets,
}

/// <summary>Has a host served by one of them.</summary>
internal static class ServedByExtensions
{
    public static void Use(this IWebHostBuilder builder, ServedBy servedBy)
    {
        if (servedBy == ServedBy.Sockets)
        {
            builder.UseSockets();
            return;
        }

        // In an application of your own, builder.WebHost.UseEpollTransport() is all there is to write.
        builder.UseEpollTransport(options =>
        {
            options.ScheduleContinuations = servedBy == ServedBy.ScheduleContinuations;
            options.Scheduling = servedBy switch
            {
                ServedBy.ThreadPool => ApplicationScheduling.ThreadPool,
                ServedBy.UnsafeInline => ApplicationScheduling.UnsafeInline,
                _ => ApplicationScheduling.Adaptive,
            };
        });
    }
}
