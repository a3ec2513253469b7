using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <content>What the kernel knows of it. Any thread: a descriptor that is entered is not closed meanwhile.</content>
internal sealed partial class EpollConnection
{
    public override bool HasTcpInfo => IsTcp && SystemCalls.HasOption(KernelOption.TCP_INFO);

    public override bool HasPeerCredentials => !IsTcp && SystemCalls.HasOption(KernelOption.SO_PEERCRED);

    public override bool TryGetTcpInfo(out TcpInfo info)
    {
        bool isKnown = TryGetTcpInfo(out TcpInfoRecord record);
        info = isKnown ? new TcpInfo(record) : default;
        return isKnown;
    }

    public override bool TryGetPeerCredentials(out UnixPeerCredentials credentials)
    {
        credentials = default;
        if (IsTcp || !TryEnterDescriptor(out int descriptor))
        {
            return false;
        }

        IoResult result = SystemCalls.GetPeerCredentials(descriptor, out int processId, out uint userId, out uint groupId);
        LeaveDescriptor();
        if (result.IsError)
        {
            return false;
        }

        credentials = new UnixPeerCredentials(processId, userId, groupId);
        return true;
    }

    /// <summary>The same, as the kernel says it. False: closed, or not TCP's.</summary>
    public bool TryGetTcpInfo(out TcpInfoRecord record)
    {
        record = default;
        if (!IsTcp || !TryEnterDescriptor(out int descriptor))
        {
            return false;
        }

        IoResult result = SystemCalls.GetTcpInfo(descriptor, out record);
        LeaveDescriptor();
        return !result.IsError;
    }
}
