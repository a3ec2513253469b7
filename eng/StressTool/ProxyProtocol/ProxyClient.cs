using System.Net;
using System.Net.Sockets;
using System.Text;

namespace StressTool.ProxyProtocol;

/// <summary>Sends what a plan says, in pieces, and looks at what comes back until the server has ended the connection.</summary>
internal sealed class ProxyClient(Socket socket, ProxyPlan plan, Random random, Figures figures)
{
    private readonly StringBuilder _received = new();
    private EndPoint? _from;
    private EndPoint? _to;

    public async Task RunAsync(EndPoint server)
    {
        try
        {
            // Reset already, perhaps.
            await socket.ConnectAsync(server);
            (_from, _to) = plan.TellsHeader ? (plan.Header.Source, plan.Header.Destination) : (socket.LocalEndPoint, server);
            await Task.WhenAll(SendAsync(), ReceiveAsync());
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException && plan.Expected != Expected.Answers)
        {
            figures.Count($"client saw {(e as SocketException)?.SocketErrorCode.ToString() ?? e.GetType().Name}");
        }

        figures.Count("connections");
        figures.Count($"{plan.Beginning}, {plan.Expected}");
        Check();
    }

    private async Task SendAsync()
    {
        int end = plan.End is ClientEnd.Closes or ClientEnd.Resets ? plan.EndsAt : plan.Sent.Length;
        for (int sent = 0; sent < end;)
        {
            int count = Math.Min(end - sent, plan.LargestPiece == int.MaxValue ? int.MaxValue : random.Next(1, plan.LargestPiece + 1));
            sent += await socket.SendAsync(plan.Sent.AsMemory(sent, count));
            if (plan.Pauses && random.Next(16) == 0)
            {
                await Task.Delay(random.Next(3));
            }
            else if (random.Next(4) == 0)
            {
                await Task.Yield();
            }
        }

        switch (plan.End)
        {
            case ClientEnd.HalfCloses:
                socket.Shutdown(SocketShutdown.Send);
                break;
            case ClientEnd.Closes:
                socket.Close();
                break;
            case ClientEnd.Resets:
                socket.LingerState = new LingerOption(true, 0);
                socket.Close();
                break;
            default:
                break;
        }
    }

    private async Task ReceiveAsync()
    {
        byte[] buffer = new byte[1024];
        int count;
        while ((count = await socket.ReceiveAsync(buffer)) != 0)
        {
            figures.AddBytes(count);
            _received.Append(Encoding.Latin1.GetString(buffer, 0, count));
        }
    }

    private void Check()
    {
        string all = _received.ToString();
        int answers = Occurrences(all, "HTTP/1.1 200 OK\r\n");
        switch (plan.Expected)
        {
            case Expected.Answers:
                int right = Occurrences(all, ProxyServer.Answer(_from, _to));
                if (answers != plan.Requests || right != plan.Requests)
                {
                    throw new StressFailureException($"{answers} answers of {plan.Requests}, {right} as they should be: {all}");
                }

                break;
            case Expected.NoAnswer when answers > 0:
                throw new StressFailureException($"answered, and should not be: {all}");
            default:
                break;
        }
    }

    private static int Occurrences(string text, string part) => (text.Length - text.Replace(part, "", StringComparison.Ordinal).Length) / part.Length;
}
