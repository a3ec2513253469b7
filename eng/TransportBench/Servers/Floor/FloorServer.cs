using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Native;

namespace TransportBench.Servers.Floor;

/// <summary>
/// Answers over the transport's own poller, without pipes, without Kestrel and without looking at a request any closer than it
/// must. What it costs is the kernel's share; what a server costs more is Kestrel's HTTP and the transport.
/// </summary>
internal sealed class FloorServer : IBenchServer
{
    private const int Backlog = 512;

    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    private FloorServer()
    {
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(Backlog);
        int descriptor = (int)_listener.SafeHandle.DangerousGetHandle();

        // Every loop may be told of one connection; all but one of them would wait in a blocking accept.
        SystemCalls.SetNonBlocking(descriptor);
        Endpoints = new Endpoints(((IPEndPoint)_listener.LocalEndPoint!).Port, 0, 0, 0, "");
        for (int i = 0; i < Environment.ProcessorCount; i++)
        {
            var loop = new FloorLoop(descriptor);
            new Thread(loop.Run) { IsBackground = true, Name = $"floor loop {i}" }.Start();
        }
    }

    public Endpoints Endpoints { get; }

    public static FloorServer Start() => new();

    // The loops end with the process.
    public void Dispose() => _listener.Dispose();
}
