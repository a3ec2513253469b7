using System.Net;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Listening;

/// <summary>A listener's registration in one loop.</summary>
internal sealed class AcceptHandler(EpollListener listener, EventLoop loop) : ILoopHandler
{
    public Token Token { get; set; }

    public EventLoop Loop { get; } = loop;

    /// <summary>Where the kernel writes addresses; for the loop's thread.</summary>
    public SocketAddress Address { get; } = SocketAddresses.CreateBuffer();

    public void OnReady(Readiness readiness) => listener.OnAcceptable(this);

    public void OnFault(Exception exception) => listener.Fault(exception);

    public void Abandon() => listener.BeginUnbind();
}
