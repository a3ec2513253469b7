using System.Net;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport;

/// <summary>Options of <c>AddEpollServer()</c>: the endpoints of the server. Read once, when the host starts.</summary>
public sealed class EpollServerOptions
{
    internal List<(EndPoint EndPoint, Action<IConnectionBuilder> Configure)> EndPoints { get; } = [];

    /// <summary>Adds an endpoint.</summary>
    /// <param name="endPoint">
    /// What to listen on: an <see cref="IPEndPoint"/>, whose port 0 takes a free one (<see cref="EpollServer.EndPoints"/> tells which), a
    /// <see cref="System.Net.Sockets.UnixDomainSocketEndPoint"/>, or whatever else a registered <see cref="IConnectionListenerFactory"/> binds.
    /// </param>
    /// <param name="configure">
    /// What happens to each connection: <c>UseConnectionLimits()</c>, <c>UseTls()</c>, and in the end <c>UseConnectionHandler&lt;T&gt;()</c>
    /// or <c>Run()</c>. Called when the host starts.
    /// </param>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    public void Listen(EndPoint endPoint, Action<IConnectionBuilder> configure)
    {
        ArgumentNullException.ThrowIfNull(endPoint);
        ArgumentNullException.ThrowIfNull(configure);
        EndPoints.Add((endPoint, configure));
    }
}
