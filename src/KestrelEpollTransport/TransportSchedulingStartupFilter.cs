using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>Puts the middleware in front of everything, where <see cref="EpollTransportOptions.ScheduleContinuations"/> asks for it.</summary>
internal sealed class TransportSchedulingStartupFilter(IOptions<EpollTransportOptions> options) : IStartupFilter
{
    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => !options.Value.ScheduleContinuations ? next : application =>
    {
        application.UseTransportScheduling();
        next(application);
    };
}
