using System.Net.Sockets;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Listening;

/// <summary>What is done to each accepted socket before it becomes a connection. Immutable, and so for any thread.</summary>
internal sealed class AcceptedSetup
{
    private readonly KernelSetting[] _settings;
    private readonly Action<Socket>? _configure;

    private AcceptedSetup(KernelSetting[] settings, Action<Socket>? configure)
    {
        _settings = settings;
        _configure = configure;
    }

    /// <summary>Null: nothing is.</summary>
    public static AcceptedSetup? Create(SocketSettings settings, Action<Socket>? configure, AddressFamily family)
    {
        KernelSetting[] each = settings.ForAccepted(family);
        return each.Length == 0 && configure is null ? null : new AcceptedSetup(each, configure);
    }

    /// <summary>On a descriptor that nobody else knows yet. False: the application did not want it, or failed, and it is closed.</summary>
    public bool TryApply(int descriptor, AcceptReports reports)
    {
        try
        {
            if (Apply(descriptor))
            {
                return true;
            }
        }
#pragma warning disable CA1031 // The application's, whatever it is: the connections behind this one are to be accepted.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Uninterrupted.RaiseAgain(exception is ThreadInterruptedException);
            reports.Report(exception, byApplication: true);
        }

        reports.Refused(RefusedConnections.ByApplication);
        _ = SystemCalls.SetAbortiveClose(descriptor);
        SystemCalls.Close(descriptor);
        return false;
    }

    // False: the application refused the connection.
    private bool Apply(int descriptor)
    {
        foreach (KernelSetting setting in _settings)
        {
            // The kernel took it for the socket that listens, or for others like this one. Refused: this connection has ended already.
            _ = setting.SetOn(descriptor);
        }

        if (_configure is null)
        {
            return true;
        }

        // Not the owner of the descriptor, and disposed of behind the call: what the application keeps of it does not reach whoever gets the number next.
        using Socket socket = new(new SafeSocketHandle(descriptor, ownsHandle: false));
        _configure(socket);
        return !socket.SafeHandle.IsClosed;
    }
}
