using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Polling;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KestrelEpollTransport.Tests;

public enum Wire
{
    Tcp,
    Unix,
}

/// <summary>A transport over a <see cref="CountingPoolFactory"/>, and connections of it whose other ends are plain blocking sockets.</summary>
internal sealed class TestTransport : IDisposable
{
    private readonly EpollConnectionContextFactory _factory;

    public TestTransport(Action<EpollTransportOptions>? configure = null, Func<Poller>? createPoller = null)
    {
        EpollTransportOptions options = new() { LoopCount = 2 };
        configure?.Invoke(options);
        Engine = new TransportEngine(options, new QuietLoggers(), Pool, createPoller: createPoller);
        _factory = new EpollConnectionContextFactory(Engine);
    }

    public CountingPoolFactory Pool { get; } = new();

    public TransportEngine Engine { get; }

    /// <summary>How many connections hold a descriptor.</summary>
    public int Load
    {
        get
        {
            int load = 0;
            foreach (EventLoop loop in Engine.Loops.Started)
            {
                load += loop.Load;
            }

            return load;
        }
    }

    /// <summary>A connection of the transport and the socket at its other end.</summary>
    /// <param name="wire">What lies between.</param>
    /// <param name="peer">Blocking, with a limit on every wait.</param>
    /// <param name="bufferSize">Of the kernel's buffers on the way to the peer; 0: the kernel's choice.</param>
    public ConnectionContext Connect(Wire wire, out Socket peer, int bufferSize = 0)
    {
        (Socket ours, peer) = CreatePair(wire, bufferSize);
        return _factory.Create(ours);
    }

    public void Dispose()
    {
        _factory.Dispose();
        Engine.Dispose();
    }

    private static (Socket Ours, Socket Peer) CreatePair(Wire wire, int bufferSize)
    {
        // A name in the abstract namespace, unix(7), which goes with the socket; a file where there is none.
        string name = OperatingSystem.IsLinux() ? $"\0{Guid.NewGuid():N}" : Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        EndPoint endPoint = wire == Wire.Tcp ? new IPEndPoint(IPAddress.Loopback, 0) : new UnixDomainSocketEndPoint(name);
        using Socket listener = Create(wire);
        listener.Bind(endPoint);
        listener.Listen(1);
        Socket peer = Create(wire);
        if (bufferSize > 0)
        {
            // Before connecting: the window is agreed on then.
            peer.ReceiveBufferSize = bufferSize;
        }

        peer.Connect(listener.LocalEndPoint!);
        peer.ReceiveTimeout = peer.SendTimeout = (int)Timeouts.Limit.TotalMilliseconds;
        Socket ours = listener.Accept();
        if (bufferSize > 0)
        {
            ours.SendBufferSize = bufferSize;
        }

        if (wire == Wire.Tcp)
        {
            peer.NoDelay = ours.NoDelay = true;
        }

        return (ours, peer);
    }

    private static Socket Create(Wire wire) => wire == Wire.Tcp
        ? new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
        : new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    // Logs nothing: a recorder would allocate, and keep, a line for every pause.
    private sealed class QuietLoggers : ILoggerFactory
    {
        public ILogger CreateLogger(string categoryName) => NullLogger.Instance;

        public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

        public void Dispose()
        {
        }
    }
}

internal static class SocketExtensions
{
    /// <summary>Receives until <paramref name="buffer"/> is full or the peer ended; returns how many bytes came.</summary>
    public static int ReceiveAll(this Socket socket, Span<byte> buffer)
    {
        int total = 0;
        while (total < buffer.Length)
        {
            int received = socket.Receive(buffer[total..]);
            if (received == 0)
            {
                break;
            }

            total += received;
        }

        return total;
    }

    public static void SendAll(this Socket socket, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[socket.Send(bytes)..];
        }
    }
}

/// <summary>The descriptors of this process.</summary>
internal static class Descriptors
{
    /// <summary>How many are open; one more while it looks, every time.</summary>
    public static int Count() => Directory.GetFileSystemEntries("/proc/self/fd").Length;

    /// <summary>Those that are no files of a file system: an assembly that the runner happens to load is none of a test's.</summary>
    public static int CountWithoutFiles()
    {
        CountSettled();
        return Directory.GetFileSystemEntries("/proc/self/fd").Count(one => !IsFile(one));
    }

    /// <summary>The same, when what earlier tests forgot to dispose is gone.</summary>
    public static int CountSettled()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        return Count();
    }

    private static bool IsFile(string link)
    {
        try
        {
            return File.ResolveLinkTarget(link, returnFinalTarget: false) is not { } target || File.Exists(target.FullName);
        }
        catch (IOException)
        {
            // The one that the listing itself had opened.
            return true;
        }
    }
}
