using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;

namespace KestrelEpollTransport.Draining;

/// <summary>Puts the middleware in front of the application's.</summary>
internal sealed class DrainingStartupFilter(ConnectionDraining draining) : IStartupFilter
{
    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => application =>
    {
        application.Use(rest => new DrainingMiddleware(rest, draining).InvokeAsync);
        next(application);
    };
}
