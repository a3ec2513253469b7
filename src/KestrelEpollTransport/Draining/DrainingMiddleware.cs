using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace KestrelEpollTransport.Draining;

/// <summary>While draining, has the server close the connection of each request behind the answer.</summary>
internal sealed class DrainingMiddleware(RequestDelegate next, ConnectionDraining draining)
{
    public Task InvokeAsync(HttpContext http)
    {
        if (draining.IsDraining)
        {
            RequestClose(http);
        }

        return next(http);
    }

    private static void RequestClose(HttpContext http)
    {
        if (http.Features.Get<IHttpUpgradeFeature>() is not { IsUpgradableRequest: true })
        {
            http.Connection.RequestClose();
            return;
        }

        // Not where the connection goes on to speak something else: its first read would be told of the server's end, and fail. What some clients
        // offer with each request (Upgrade: h2c) is answered as any other.
        http.Response.OnStarting(
            static state =>
            {
                HttpContext http = (HttpContext)state;
                if (http.Response.StatusCode != StatusCodes.Status101SwitchingProtocols)
                {
                    http.Connection.RequestClose();
                }

                return Task.CompletedTask;
            },
            http);
    }
}
