using Microsoft.Extensions.ObjectPool;

namespace KestrelEpollTransport.ProxyProtocol;

/// <summary>What is used of a time-out that did not pass can be used again: a connection whose header comes in time makes no timer.</summary>
internal sealed class HeaderTimeouts : PooledObjectPolicy<CancellationTokenSource>
{
    public override CancellationTokenSource Create() => new();

    public override bool Return(CancellationTokenSource obj)
    {
        if (obj.TryReset())
        {
            return true;
        }

        obj.Dispose();
        return false;
    }
}
