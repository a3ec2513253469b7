using System.Buffers.Binary;
using Microsoft.AspNetCore.Connections;

namespace StressTool;

/// <summary>The client's side over a connection of the transport. It can't half-close, so it ends by disposing.</summary>
internal static class PipeClient
{
    private static readonly TimeSpan s_mutualWait = TimeSpan.FromSeconds(3);

    public static async Task RunAsync(ConnectionContext connection, Plan plan, int seed, Figures figures, ReceivedCount received)
    {
        var end = new PipeEnd(connection, plan.Client, seed, figures);
        try
        {
            byte[] header = new byte[Plan.HeaderSize];
            plan.WriteHeader(header);
            await end.WriteRawAsync(header);
            switch (plan.Mode)
            {
                case Mode.Echo:
                    await Task.WhenAll(SendAsync(end, plan), ReceiveAsync(end, plan));
                    break;
                case Mode.Source:
                    while (await end.ReadAsync(plan.Seed, plan.Length))
                    {
                    }

                    break;
                default:
                    await SendAsync(end, plan);
                    long arrived = BinaryPrimitives.ReadInt64LittleEndian(await end.ReadRawAsync(sizeof(long)));
                    if (plan.IsGraceful && arrived != plan.Length)
                    {
                        throw new StressFailureException($"{arrived} bytes arrived of {plan.Length}");
                    }

                    break;
            }

            if (plan.IsGraceful && plan.Mode != Mode.Sink && end.Received != plan.Length)
            {
                throw new StressFailureException($"{end.Received} bytes came of {plan.Length}");
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException && !plan.IsGraceful)
        {
            figures.Count($"client saw {e.GetType().Name}");
        }
        finally
        {
            received.Bytes = end.Received;
            await CloseAsync(connection, end, plan, figures);
        }
    }

    /// <summary>
    /// Disposal waits, without limit, until all is sent. A client that disposes and so no longer reads, and a server that
    /// echoes and so does not read while it can't write, wait for each other as soon as both directions are full: on unix
    /// sockets with their small buffers, and with any transport. As an application would, it aborts then.
    /// </summary>
    private static async Task CloseAsync(ConnectionContext connection, PipeEnd end, Plan plan, Figures figures)
    {
        Task closed = end.CloseAsync();
        if (plan.Mode == Mode.Echo && !plan.IsGraceful)
        {
            try
            {
                await closed.WaitAsync(s_mutualWait);
            }
            catch (TimeoutException)
            {
                figures.Count("disposals aborted because both sides waited");
                connection.Abort(new ConnectionAbortedException("both sides wait"));
            }
        }

        await closed;
    }

    private static async Task SendAsync(PipeEnd end, Plan plan)
    {
        try
        {
            while (end.Sent < plan.Length)
            {
                await end.WriteAsync(plan.Seed, plan.Length);
            }
        }
        catch
        {
            end.Stop();
            throw;
        }
    }

    private static async Task ReceiveAsync(PipeEnd end, Plan plan)
    {
        try
        {
            while (end.Received < plan.Length && await end.ReadAsync(plan.Seed, plan.Length))
            {
            }
        }
        catch
        {
            // Nobody reads any more: a sender that waits for the server to go on would wait for ever.
            end.Stop();
            throw;
        }
    }
}
