using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Connections;

namespace StressTool;

/// <summary>Accepts on one endpoint and serves every connection as its header asks.</summary>
internal sealed class Server
{
    private readonly ConcurrentDictionary<int, Task> _handlers = new();
    private readonly IConnectionListener _listener;
    private readonly Figures _figures;
    private readonly Task _accepting;
    private int _accepted;

    private Server(IConnectionListener listener, Figures figures)
    {
        _listener = listener;
        _figures = figures;
        _accepting = Task.Run(AcceptAsync);
    }

    public EndPoint EndPoint => _listener.EndPoint;

    public static async Task<Server> StartAsync(IConnectionListenerFactory listeners, EndPoint endpoint, Figures figures) =>
        new(await listeners.BindAsync(endpoint), figures);

    /// <summary>After this nobody new is accepted; those who were go on.</summary>
    public async Task UnbindAsync()
    {
        await _listener.UnbindAsync();
        await _accepting.WaitAsync(TimeSpan.FromSeconds(10));
    }

    public ValueTask DisposeListenerAsync() => _listener.DisposeAsync();

    public Task HandlersEndedAsync() => Task.WhenAll(_handlers.Values);

    private async Task AcceptAsync()
    {
        while (await _listener.AcceptAsync() is { } connection)
        {
            int number = ++_accepted;
            _figures.Count("connections accepted");
            // As Kestrel does: a connection's code starts on the thread pool.
            _handlers[number] = Task.Run(async () =>
            {
                await ServeAsync(connection, number);
                _handlers.TryRemove(number, out _);
            });
        }
    }

    private async Task ServeAsync(ConnectionContext connection, int number)
    {
        Plan? plan = null;
        PipeEnd? end = null;
        Task load = Task.CompletedTask;
        try
        {
            plan = await PipeEnd.ReadHeaderAsync(connection.Transport.Input);
            if (plan is null)
            {
                _figures.Count("ended before a header");
                await connection.DisposeAsync();
                return;
            }

            end = new PipeEnd(connection, plan.Server, (int)plan.Seed ^ number, _figures);
            load = ContextLoad.MaybeAsync(connection, number, _figures);
            await ServeAsync(plan, end, connection);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException && plan is not { IsGraceful: true })
        {
            _figures.Count($"server saw {e.GetType().Name}");
        }
        catch (Exception e)
        {
            _figures.Fail($"server, {plan}, after {end?.Received} bytes received and {end?.Sent} sent: {e}");
        }

        try
        {
            await (end?.CloseAsync() ?? connection.DisposeAsync().AsTask());
            await load;
        }
        catch (Exception e)
        {
            _figures.Fail($"server, {plan}, closing: {e}");
        }
    }

    private static async Task ServeAsync(Plan plan, PipeEnd end, ConnectionContext connection)
    {
        switch (plan.Mode)
        {
            case Mode.Echo:
                while (await end.ReadAsync(plan.Seed, plan.Length, connection.Transport.Output))
                {
                    await end.FlushAsync();
                }

                await end.FlushAsync();
                Require(plan, end.Received);
                break;
            case Mode.Source:
                while (end.Sent < plan.Length)
                {
                    await end.WriteAsync(plan.Seed, plan.Length);
                }

                break;
            default:
                while (end.Received < plan.Length && await end.ReadAsync(plan.Seed, plan.Length))
                {
                }

                Require(plan, end.Received);
                byte[] receipt = new byte[sizeof(long)];
                BinaryPrimitives.WriteInt64LittleEndian(receipt, end.Received);
                await end.WriteRawAsync(receipt);
                break;
        }
    }

    private static void Require(Plan plan, long received)
    {
        if (plan.IsGraceful && received != plan.Length)
        {
            throw new StressFailureException($"the stream ended after {received} bytes of {plan.Length}");
        }
    }
}
