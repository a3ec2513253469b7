using System.Globalization;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace TransportBench.Servers;

/// <summary>What servers have against overload.</summary>
internal static class Overload
{
    /// <summary>How many handlers that block run at a time.</summary>
    public const int AtATime = 16;

    /// <summary>Before routing, as the documentation advises; and what a refusal costs by itself.</summary>
    public static void UseShedding(WebApplication application)
    {
        application.UseLoadShedding();
        application.Use(static next => context => context.Request.Path == Paths.Refuse ? RefuseAsync(context) : next(context));
        application.UseRouting();
    }

    /// <summary>So many at a time, and as many more wait.</summary>
    public static void AddLimiter(IServiceCollection services) => services.AddRateLimiter(static options =>
        options.GlobalLimiter = PartitionedRateLimiter.Create<HttpContext, int>(static _ => RateLimitPartition.GetConcurrencyLimiter(0, static _ => new ConcurrencyLimiterOptions
        {
            PermitLimit = AtATime,
            QueueLimit = AtATime,
        })));

    // As load shedding does it.
    private static Task RefuseAsync(HttpContext context)
    {
        context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        context.Response.Headers.RetryAfter = 1.ToString(CultureInfo.InvariantCulture);
        context.Response.ContentLength = 0;
        return Task.CompletedTask;
    }
}
