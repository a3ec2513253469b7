using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using RandomEnds.Plans;
using RandomEnds.Transports;

namespace RandomEnds.Running;

/// <summary>
/// Runs one case after the other on listeners of its own, so that the connection it accepts is the one it made. A
/// port for each lane also leaves enough of them to clients.
/// </summary>
internal sealed class Lane : IAsyncDisposable
{
    private readonly Dictionary<(Subject, Family), IConnectionListener> _listeners = [];
    private readonly TimeSpan _limit;

    private Lane(TimeSpan limit) => _limit = limit;

    public static async Task<Lane> OpenAsync(IReadOnlyDictionary<Subject, TransportUnderTest> transports, TimeSpan limit)
    {
        var lane = new Lane(limit);
        foreach ((Subject subject, TransportUnderTest transport) in transports)
        {
            foreach (Family family in Enum.GetValues<Family>())
            {
                lane._listeners[(subject, family)] = await transport.BindAsync(family);
            }
        }

        return lane;
    }

    public async Task<Observation> RunAsync(Subject subject, CasePlan plan)
    {
        var seen = new Observation(subject);
        IConnectionListener listener = _listeners[(subject, plan.Family)];
        using Socket socket = CreateSocket(listener.EndPoint);
        using var client = new Client(socket, plan, seen);
        await socket.ConnectAsync(listener.EndPoint);
        ConnectionContext? connection = await listener.AcceptAsync();
        var application = new Application(connection!, plan, seen);
        Task running = new CaseRun(plan, application, client, seen).RunAsync();
        try
        {
            await running.WaitAsync(_limit);
        }
        catch (TimeoutException) when (!running.IsCompleted)
        {
            seen.HungWhile = seen.Doing;
            seen.Note($"hung while {seen.HungWhile}; what follows is the test's own doing");
            Abandon(connection!, running);
        }
        catch (Exception e)
        {
            seen.Surprises.Enqueue($"{seen.Doing}: {(e is CaseFailedException ? e.Message : e)}");
            Abandon(connection!, running);
        }

        return seen;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IConnectionListener listener in _listeners.Values)
        {
            await listener.DisposeAsync();
        }
    }

    private static Socket CreateSocket(EndPoint endpoint) => endpoint is UnixDomainSocketEndPoint
        ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
        : new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveBufferSize = Limits.ClientReceiveBuffer };

    /// <summary>The case has failed; what is left of it ends by itself or never does, and nobody waits.</summary>
    private static void Abandon(ConnectionContext connection, Task running)
    {
        connection.Abort(new ConnectionAbortedException("the case has failed"));
        _ = running.ContinueWith(static t => t.Exception, TaskScheduler.Default);
    }
}
