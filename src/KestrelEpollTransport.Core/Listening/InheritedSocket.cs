using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Listening;

/// <summary>A listening socket that this process was started with. Immutable.</summary>
internal sealed class InheritedSocket
{
    private readonly EndPoint _endPoint;
    private readonly bool _isAnyPort;

    private InheritedSocket(Socket socket, bool isKept, bool isAnyPort)
    {
        Socket = socket;
        IsKept = isKept;
        _isAnyPort = isAnyPort;
        _endPoint = socket.LocalEndPoint!;
    }

    public Socket Socket { get; }

    /// <summary>Whether a service manager has it too, and keeps it.</summary>
    public bool IsKept { get; }

    /// <summary>Null: the number is no stream socket that listens, so that it is not ours to touch.</summary>
    public static InheritedSocket? TryCreate(int descriptor, bool isKept, bool isAnyPort)
    {
        if (!SystemCalls.IsListening(descriptor) || SystemCalls.SetCloseOnExec(descriptor).IsError)
        {
            return null;
        }

        Socket socket = new(new SafeSocketHandle(descriptor, ownsHandle: true));
        if (socket.LocalEndPoint is not null && socket.SocketType == SocketType.Stream)
        {
            return new InheritedSocket(socket, isKept, isAnyPort);
        }

        socket.Dispose();
        return null;
    }

    /// <summary>Whether it is what <paramref name="wanted"/> would be bound to. Who wants any port gets what its predecessor got for any port.</summary>
    public bool Fits(EndPoint wanted) => (wanted, _endPoint) switch
    {
        (IPEndPoint asked, IPEndPoint bound) => asked.Address.Equals(bound.Address) && (asked.Port == 0 ? _isAnyPort : asked.Port == bound.Port),
        (UnixDomainSocketEndPoint asked, UnixDomainSocketEndPoint bound) => string.Equals(asked.ToString(), bound.ToString(), StringComparison.Ordinal),
        _ => false,
    };

    /// <summary>Of a unix socket that has a file: what disposing a <see cref="System.Net.Sockets.Socket"/> does for one that it bound itself.</summary>
    public void DeleteFile()
    {
        if (_endPoint is not UnixDomainSocketEndPoint || SocketAddresses.IsAbstract(_endPoint))
        {
            return;
        }

        try
        {
            File.Delete(_endPoint.ToString()!);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // It stays. The next server on that path is told so by bind(2).
        }
    }
}
