using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using TransportBench.Client;

namespace KestrelEpollTransport.FunctionalTests.TransportBench;

/// <summary>The client as it is, against a server that stands still at times.</summary>
public class OpenLoopClientTests
{
    private static readonly byte[] s_message = "thirty-two bytes that are echoed"u8.ToArray();

    /// <summary>
    /// Of some 500 requests 100 are due while the server stands still, and 4 have been sent: p90 knows of them if time begins when
    /// they are due, and does not if it begins when they are sent.
    /// </summary>
    [Fact]
    public void LoadLoop_ServerThatStandsStill_IsWaitedForByAllThatWereDueMeanwhile()
    {
        using var server = new StallingEcho(stallAt: 100, stallMs: 100);
        using var loop = new LoadLoop(new LoadPlan([Group(server.Port, connections: 4)], [0.5]));

        LoadReport report = loop.Run();

        PhaseReport phase = report.Groups[0].Phases[0];
        Assert.Null(report.Groups[0].FirstError);
        Assert.InRange(phase.P90, 30, double.MaxValue);
        Assert.InRange(phase.Max, 95, double.MaxValue);
        Assert.Equal(phase.Sending!.Due, phase.Requests + phase.Waiting);
        Assert.True(report.ThreadSeconds[0] > 0);
    }

    /// <summary>A connection that waits in a full backlog was counted as a request without an answer.</summary>
    [Fact]
    public void LoadLoop_ConnectionsThatAreNotOpenYet_AreNoRequests()
    {
        using var listener = new Socket(SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(backlog: 0);
        using var loop = new LoadLoop(new LoadPlan([Group(((IPEndPoint)listener.LocalEndPoint!).Port, connections: 8)], [0.05]));

        PhaseReport phase = loop.Run().Groups[0].Phases[0];

        Assert.InRange(phase.Sending!.Due, 1, 200);
        Assert.Equal((0, phase.Sending.Due), (phase.Requests, phase.Waiting));
    }

    /// <summary>A client whose thread had no turn until its load was over told nothing, not even that anything was due.</summary>
    [Fact]
    public void LoadLoop_ThreadThatComesAfterTheEnd_TellsWhatWasDue()
    {
        const double Seconds = 0.005;
        using var loop = new LoadLoop(new LoadPlan([Group(port: 1, connections: 4)], [Seconds]));
        long start = Stopwatch.GetTimestamp();
        SpinWait.SpinUntil(() => Stopwatch.GetElapsedTime(start).TotalSeconds > Seconds);

        PhaseReport phase = loop.Run().Groups[0].Phases[0];

        Assert.InRange(phase.Sending!.Due, 1, 100);
        Assert.Equal((0, phase.Sending.Due), (phase.Requests, phase.Waiting));
    }

    [Fact]
    public void LoadLoop_Refusals_AreCountedForThemselves_AndNothingIsDueAfterTheGroupsEnd()
    {
        byte[] message = "twenty-eight bytes and these\r\n\r\n"u8.ToArray();
        using var server = new StallingEcho(stallAt: int.MaxValue, stallMs: 0);
        var refusing = new Exchange(message, "served"u8.ToArray(), "served"u8.ToArray()) { RefusalStart = message[..6] };
        LoadGroup group = Group(server.Port, connections: 4) with { Exchanges = [refusing], StopAfter = 0.2 };
        using var loop = new LoadLoop(new LoadPlan([group], [0.2, 0.5]));

        GroupReport report = loop.Run().Groups[0];

        Assert.Null(report.FirstError);
        Assert.All(report.Phases, static phase => Assert.Equal(0, phase.Requests));
        Assert.True(report.Phases[0].Refused > 0);
        Assert.True(report.Phases[0].RefusedP99 > 0);
        Assert.Equal(report.Phases[0].Sending!.Due, report.Phases.Sum(static phase => phase.Refused) + report.Phases[1].Waiting);
        Assert.Equal(0, report.Phases[1].Sending?.Due ?? 0);
    }

    private static LoadGroup Group(int port, int connections) =>
        new("echo", port, [new Exchange(s_message, s_message, s_message)]) { Connections = connections, RequestsPerSecond = 1000 };

    /// <summary>Answers with what it received, one connection at a time, and once holds all of them up.</summary>
    private sealed class StallingEcho : IDisposable
    {
        private readonly Lock _answering = new();
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly int _stallAt;
        private readonly int _stallMs;
        private int _requests;

        public StallingEcho(int stallAt, int stallMs)
        {
            (_stallAt, _stallMs) = (stallAt, stallMs);
            _listener.Start();
            Begin(Accept);
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public void Dispose() => _listener.Dispose();

        private static void Begin(ThreadStart run) => new Thread(run) { IsBackground = true }.Start();

        private void Accept()
        {
            try
            {
                while (true)
                {
                    Socket socket = _listener.AcceptSocket();
                    Begin(() => Serve(socket));
                }
            }
            catch (SocketException)
            {
                // The test is over.
            }
        }

        private void Serve(Socket socket)
        {
            using Socket connection = socket;
            connection.NoDelay = true;
            byte[] buffer = new byte[s_message.Length];
            try
            {
                while (connection.Receive(buffer) is int received and > 0)
                {
                    lock (_answering)
                    {
                        if (++_requests == _stallAt)
                        {
                            // What is tested: a server that stands still.
                            Thread.Sleep(_stallMs);
                        }
                    }

                    connection.Send(buffer, 0, received, SocketFlags.None);
                }
            }
            catch (SocketException)
            {
                // The client has gone.
            }
        }
    }
}
