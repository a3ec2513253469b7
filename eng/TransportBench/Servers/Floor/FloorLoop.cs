using System.Net;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace TransportBench.Servers.Floor;

/// <summary>One thread's part of the floor: accepts from the shared listener, and answers on what it accepted.</summary>
internal sealed unsafe class FloorLoop(int listener)
{
    // Descriptors are small numbers, and each is used by one connection at a time: they are the slots.
    private readonly List<FloorConnection?> _connections = [];
    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(64 * 1024, pinned: true);
    private readonly SocketAddress _peer = new(System.Net.Sockets.AddressFamily.InterNetworkV6, 128);
    private readonly Poller _poller = Poller.Create();
    private uint _generation;

    public void Run()
    {
        var events = new PollEvent[256];
        var listening = new Token(listener, 0);
        _poller.RegisterShared(listener, listening);
        while (true)
        {
            int count = _poller.Wait(events, timeoutMs: -1);
            for (int i = 0; i < count; i++)
            {
                if (events[i].Token == listening)
                {
                    Accept();
                }
                else if (_connections[events[i].Token.Slot] is { } connection
                    && connection.Generation == events[i].Token.Generation)
                {
                    Answer(events[i].Token.Slot, connection, events[i].Readiness != Readiness.Readable);
                }
            }
        }
    }

    private void Accept()
    {
        IoResult accepted;
        while (!(accepted = SystemCalls.Accept(listener, _peer)).IsError)
        {
            int descriptor = (int)accepted.Value;
            SystemCalls.SetNoDelay(descriptor);
            while (_connections.Count <= descriptor)
            {
                _connections.Add(null);
            }

            // From 1: the listener has 0.
            _connections[descriptor] = new FloorConnection(++_generation);
            _poller.Register(descriptor, Interest.Read, new Token(descriptor, _generation));
        }
    }

    private void Answer(int descriptor, FloorConnection connection, bool isEnding)
    {
        fixed (byte* buffer = _buffer)
        {
            while (true)
            {
                IoResult received = SystemCalls.Receive(descriptor, buffer, _buffer.Length);
                if (received.WouldBlock)
                {
                    return;
                }

                if (received.IsError || received.Value == 0 || !TrySend(descriptor, connection, (int)received.Value))
                {
                    Close(descriptor);
                    return;
                }

                if (received.Value < _buffer.Length && !isEnding)
                {
                    // A short count on a stream socket: nothing is left, epoll(7), unless the end is.
                    return;
                }
            }
        }
    }

    /// <summary>Returns false if the connection is to be closed.</summary>
    private bool TrySend(int descriptor, FloorConnection connection, int received)
    {
        ReadOnlySpan<byte> answers = connection.Answer(_buffer.AsSpan(0, received), out bool isLast);
        fixed (byte* bytes = answers)
        {
            // Far less than a socket's buffer: a client that doesn't read isn't served.
            return SystemCalls.Send(descriptor, bytes, answers.Length).Value == answers.Length && !isLast;
        }
    }

    private void Close(int descriptor)
    {
        _connections[descriptor] = null;
        SystemCalls.Close(descriptor);
    }
}
