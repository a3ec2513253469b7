using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace KestrelEpollTransport.Draining;

/// <summary>While draining, has the server close the connection of each request behind the answer.</summary>
internal sealed class DrainingMiddleware(RequestDelegate next, ConnectionDraining draining)
{
    public Task InvokeAsync(HttpContext http)
    {
        // Not where the connection is about to speak something else: its first read would be told of the server's end, and fail.
        if (draining.IsDraining && http.Features.Get<IHttpUpgradeFeature>() is not { IsUpgradableRequest: true })
        {
            http.Connection.RequestClose();
        }

        return next(http);
    }
}
