using System.Net;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Listening;

/// <summary>A listener's registration in one loop.</summary>
internal sealed class AcceptHandler(EpollListener listener, EventLoop loop) : ILoopHandler
{
    private SocketAddress? _address;
    private AcceptBudget _budget;

    public Token Token { get; set; }

    public EventLoop Loop { get; } = loop;

    /// <summary>How many connections may be taken in this turn. For the loop's thread.</summary>
    public int TakeBudget() => _budget.Take(Loop.EventsTold, Loop.Load);

    /// <summary>Where the kernel writes addresses. Another one while a thread that lost the loop has not come back with it.</summary>
    public SocketAddress TakeAddress() => Interlocked.Exchange(ref _address, null) ?? SocketAddresses.CreateBuffer();

    public void ReturnAddress(SocketAddress address) => Volatile.Write(ref _address, address);

    public void OnReady(Readiness readiness) => listener.OnAcceptable(this);

    public void OnFault(Exception exception) => listener.Fault(exception);

    public void Abandon() => listener.BeginUnbind();
}
