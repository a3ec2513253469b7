using System.Diagnostics;
using System.Globalization;
using System.IO.Pipes;
using System.Net;
using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Native;
using Microsoft.Win32.SafeHandles;

namespace KestrelEpollTransport;

/// <summary>
/// Takes listening sockets over from the process that was here before, or from a service manager, and gives them to the process that
/// follows, so that nobody who connects meanwhile is refused or reset. <c>services.AddListenerHandover()</c> sets it up; an endpoint is
/// bound as ever, and gets the inherited socket if there is one of its address. Thread-safe.
/// </summary>
/// <remarks>
/// What a service manager gives is found by the protocol of systemd, sd_listen_fds(3): <c>LISTEN_PID</c>, <c>LISTEN_FDS</c>; names are not
/// used. What a predecessor gives is found by <see cref="EnvironmentVariable"/>. Not for Windows.
/// </remarks>
public sealed class ListenerHandover
{
    /// <summary>
    /// Tells a successor what it was given: <c>ready=8;listen=9;any=10;kept=11</c>, each number a descriptor; any is a socket of an endpoint with port 0.
    /// </summary>
    public const string EnvironmentVariable = "KESTREL_EPOLL_HANDOVER";

    private const int FirstOfServiceManager = 3;
    private const int NoDescriptor = -1;

    private readonly Lock _lock = new();
    private readonly List<InheritedSocket> _inherited = [];
    private readonly List<ListenSocket> _listening = [];
    private int _ready = NoDescriptor;
    private volatile bool _hasSuccessor;
    private bool _isStarting;
    private volatile bool _isAnnounced;

    private ListenerHandover()
    {
    }

    /// <summary>Whether another process of ours started this one and goes on serving until <see cref="NotifyServing"/>.</summary>
    public bool HasPredecessor { get; private set; }

    /// <summary>Whether a successor serves: what waits in the kernel's queues when an endpoint is unbound is left to it.</summary>
    public bool HasSuccessor => _hasSuccessor;

    /// <summary>Whether the predecessor has not been told yet that this process serves.</summary>
    internal bool DoesPredecessorServe => HasPredecessor && !_isAnnounced;

    /// <summary>
    /// What this process was started with. Call it once: the variables are removed, so that programs that are started later don't believe
    /// them. A number that is no listening socket is ignored.
    /// </summary>
    public static ListenerHandover FromEnvironment()
    {
        bool isOurs = Take("LISTEN_PID") == Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
        string? count = Take("LISTEN_FDS");
        _ = Take("LISTEN_FDNAMES");
        return Create(isOurs ? count : null, FirstOfServiceManager, Take(EnvironmentVariable));

        static string? Take(string name)
        {
            string? value = Environment.GetEnvironmentVariable(name);
            Environment.SetEnvironmentVariable(name, null);
            return value;
        }
    }

    /// <param name="kept">How many descriptors a service manager gave, if it is for this process.</param>
    /// <param name="firstKept">The first of them.</param>
    /// <param name="passed">What a predecessor says, if there is one.</param>
    internal static ListenerHandover Create(string? kept, int firstKept, string? passed)
    {
        ListenerHandover handover = new();
        if (int.TryParse(kept, CultureInfo.InvariantCulture, out int count))
        {
            for (int i = 0; i < count && SystemCalls.IsOpen(firstKept + i); i++)
            {
                handover.AddInherited(firstKept + i, isKept: true);
            }
        }

        foreach (string entry in (passed ?? "").Split(';', StringSplitOptions.RemoveEmptyEntries))
        {
            handover.AddEntry(entry);
        }

        return handover;
    }

    /// <summary>
    /// Starts a process with every listening socket of this one, and waits until it serves (<see cref="NotifyServing"/>). This process serves on
    /// all the while, and both do in the end: stop this one then, as by <c>IHostApplicationLifetime.StopApplication()</c>. If it throws,
    /// the new process is killed, with what it had accepted, and nothing has changed here.
    /// </summary>
    /// <param name="start">
    /// What to start, mostly the same program. <see cref="ProcessStartInfo.UseShellExecute"/> must be false. It may be a shell
    /// script, if that ends by exec.
    /// </param>
    /// <param name="cancellationToken">
    /// Gives up waiting: give it a time-out. The end of the new process is seen at once only if no program that it started outlives it.
    /// </param>
    /// <returns>The process that serves.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="start"/> is null.</exception>
    /// <exception cref="InvalidOperationException">There is a successor, or one is starting; or it ended before it served.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    /// <exception cref="System.ComponentModel.Win32Exception">The program can't be started.</exception>
    /// <exception cref="System.Net.Sockets.SocketException">No descriptor is left to pass on a socket.</exception>
    public async Task<Process> StartSuccessorAsync(ProcessStartInfo start, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(start);
        using (_lock.Hold())
        {
            if (_hasSuccessor || _isStarting)
            {
                throw new InvalidOperationException("There is a successor already, or one is starting.");
            }

            _isStarting = true;
        }

        try
        {
            Process successor = await StartServingAsync(start, cancellationToken).ConfigureAwait(false);
            _hasSuccessor = true;
            return successor;
        }
        finally
        {
            using (_lock.Hold())
            {
                _isStarting = false;
                if (!_hasSuccessor)
                {
                    _listening.ForEach(static socket => socket.IsPassedOn = false);
                }
            }
        }
    }

    /// <summary>
    /// Tells the predecessor, if there is one, that this process serves, and closes what was inherited and no endpoint took. Idempotent.
    /// <c>AddListenerHandover()</c> does it when the host has started.
    /// </summary>
    public void NotifyServing()
    {
        int ready;
        InheritedSocket[] untaken;
        using (_lock.Hold())
        {
            ready = _ready;
            _ready = NoDescriptor;
            untaken = [.. _inherited];
            _inherited.Clear();
            _isAnnounced = true;
        }

        Array.ForEach(untaken, static one => one.Socket.Dispose());
        if (ready == NoDescriptor)
        {
            return;
        }

        try
        {
            using FileStream pipe = new(new SafeFileHandle(ready, ownsHandle: true), FileAccess.Write, bufferSize: 0);
            pipe.WriteByte(1);
        }
        catch (IOException)
        {
            // The predecessor is gone, so that nobody waits. The runtime ignores SIGPIPE.
        }
    }

    /// <summary>The inherited socket of an endpoint, which is the caller's from now on; null: there is none.</summary>
    internal InheritedSocket? Take(EndPoint endPoint)
    {
        using (_lock.Hold())
        {
            InheritedSocket? found = _inherited.Find(one => one.Fits(endPoint));
            if (found is not null)
            {
                _inherited.Remove(found);
            }

            return found;
        }
    }

    internal void Add(ListenSocket socket)
    {
        using (_lock.Hold())
        {
            _listening.Add(socket);
        }
    }

    /// <summary>For a socket that nobody else is to have any more. False: somebody has it.</summary>
    internal bool TryWithdraw(ListenSocket socket)
    {
        using (_lock.Hold())
        {
            return !socket.IsShared && _listening.Remove(socket);
        }
    }

    internal void Remove(ListenSocket socket)
    {
        using (_lock.Hold())
        {
            _listening.Remove(socket);
        }
    }

    private void AddEntry(string entry)
    {
        string[] parts = entry.Split('=');
        if (parts.Length != 2 || !int.TryParse(parts[1], CultureInfo.InvariantCulture, out int descriptor))
        {
            return;
        }

        switch (parts[0])
        {
            case "ready" when _ready == NoDescriptor && SystemCalls.IsOpen(descriptor):
                _ = SystemCalls.SetCloseOnExec(descriptor);
                _ready = descriptor;
                HasPredecessor = true;
                break;
            case "listen":
                AddInherited(descriptor, isKept: false);
                break;
            case "any":
                AddInherited(descriptor, isKept: false, isAnyPort: true);
                break;
            case "kept":
                AddInherited(descriptor, isKept: true);
                break;
        }
    }

    private void AddInherited(int descriptor, bool isKept, bool isAnyPort = false)
    {
        if (InheritedSocket.TryCreate(descriptor, isKept, isAnyPort) is { } inherited)
        {
            _inherited.Add(inherited);
        }
    }

    private async Task<Process> StartServingAsync(ProcessStartInfo start, CancellationToken cancellationToken)
    {
        using AnonymousPipeServerStream ready = new(PipeDirection.In, HandleInheritability.Inheritable);
        Process successor = Start(start, ready);
        try
        {
            // A pipe's read can't be cancelled; on a thread of its own, which the end of the new process ends.
            Task<int> reading = Task.Factory.StartNew(
                static pipe => ((Stream)pipe!).ReadByte(), ready, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            return await reading.WaitAsync(cancellationToken).ConfigureAwait(false) >= 0 ? successor
                : throw new InvalidOperationException($"Process {successor.Id} ended, or closed its pipe, before it served.");
        }
        catch
        {
            successor.Kill(entireProcessTree: true);
            successor.Dispose();
            throw;
        }
    }

    private Process Start(ProcessStartInfo start, AnonymousPipeServerStream ready)
    {
        List<int> passed = [];
        try
        {
            string variable = "ready=" + ready.GetClientHandleAsString();
            using (_lock.Hold())
            {
                // Duplicates, so that programs that others start at this moment don't keep the port by more than these, which end with them.
                foreach (ListenSocket socket in _listening)
                {
                    IoResult duplicate = SystemCalls.Duplicate(socket.Descriptor);
                    if (duplicate.IsError)
                    {
                        throw Errno.ToException(duplicate.Errno);
                    }

                    passed.Add((int)duplicate.Value);
                    _ = SystemCalls.SetInheritable((int)duplicate.Value);
                    string kind = socket.IsKept ? "kept" : socket.IsAnyPort ? "any" : "listen";
                    variable += string.Create(CultureInfo.InvariantCulture, $";{kind}={duplicate.Value}");
                    socket.IsPassedOn = true;
                }
            }

            start.Environment[EnvironmentVariable] = variable;
            return Process.Start(start) ?? throw new InvalidOperationException("No process was started.");
        }
        finally
        {
            start.Environment.Remove(EnvironmentVariable);
            passed.ForEach(SystemCalls.Close);
            ready.DisposeLocalCopyOfClientHandle();
        }
    }
}
