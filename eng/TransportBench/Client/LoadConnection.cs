using System.Buffers.Text;
using System.Diagnostics;
using System.Text;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using TransportBench.Servers;

namespace TransportBench.Client;

/// <summary>One connection of a group, again and again if its group reconnects. For the loop's thread.</summary>
internal sealed unsafe class LoadConnection : IOpenConnection
{
    private const int LongestAnswer = 2048;
    private const int None = -1;

    private readonly LoadLoop _loop;
    private readonly GroupRun _group;
    private readonly int _slot;
    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(LongestAnswer, pinned: true);

    private int _descriptor = None;
    private uint _generation;
    private bool _isConnected;
    private bool _isOpened;
    private bool _hasSent;

    // Where each connection asks again by itself, the first request is due when the connection is, and this is always so.
    private bool _isAsking;
    private int _next;
    private int _received;
    private long _since;

    public LoadConnection(LoadLoop loop, GroupRun group)
    {
        _loop = loop;
        _group = group;
        _slot = loop.Add(this);
    }

    private Exchange Current => _isOpened ? _group.Group.Exchanges[_next] : _group.Group.Opening!;

    /// <summary>Connects, and sends the first request when that has succeeded, or is free for one then.</summary>
    /// <param name="since">When it was due: from here on its request takes time.</param>
    public void Open(long since)
    {
        _since = since;
        _isAsking = _group.OpenLoop is null;
        _isConnected = false;
        _hasSent = false;
        _isOpened = _group.Group.Opening is null;
        _generation++;
        IoResult created = SystemCalls.CreateStream(_group.Server);
        if (created.IsError)
        {
            Fail("socket", created.Errno);
            return;
        }

        _descriptor = (int)created.Value;
        SystemCalls.SetNoDelay(_descriptor);
        IoResult connecting = SystemCalls.Connect(_descriptor, _group.Server);
        if (connecting.IsError && connecting.Errno != Errno.EINPROGRESS)
        {
            Fail("connect", connecting.Errno);
            return;
        }

        IoResult registered = _loop.Poller.Register(_descriptor, Interest.Read | Interest.Write, new Token(_slot, _generation));
        if (registered.IsError)
        {
            Fail("epoll_ctl", registered.Errno);
        }
    }

    public void OnReady(PollEvent happened)
    {
        // An event of a connection that was closed since.
        if (happened.Token.Generation != _generation || _descriptor == None)
        {
            return;
        }

        if (!_isConnected)
        {
            int error = SystemCalls.TakeSocketError(_descriptor);
            if (error != 0)
            {
                Fail("connect", error);
            }
            else if ((happened.Readiness & Readiness.Writable) != 0)
            {
                _isConnected = true;
                GoOn();
            }
        }
        else if ((happened.Readiness & ~Readiness.Writable) != 0)
        {
            Receive();
        }
    }

    public long Ask(long due)
    {
        _isAsking = true;
        _since = due;
        long now = Stopwatch.GetTimestamp();
        Send();
        return now;
    }

    public void OnPhaseEnd(int phase)
    {
        if (_descriptor != None && _isAsking)
        {
            _group.Recorder.OnStillWaiting(_since, phase);
        }
    }

    public void Close()
    {
        if (_descriptor != None)
        {
            SystemCalls.Close(_descriptor);
            _descriptor = None;
        }
    }

    private void Send()
    {
        _received = 0;
        byte[] request = _hasSent || _group.Group.Preface.Length == 0 ? Current.Request : [.. _group.Group.Preface, .. Current.Request];
        _hasSent = true;
        fixed (byte* bytes = request)
        {
            IoResult sent = SystemCalls.Send(_descriptor, bytes, request.Length);
            if (sent.Value != request.Length)
            {
                // Requests are far smaller than a socket's buffer, and one is on its way at a time.
                Fail("send", sent.Errno);
            }
        }
    }

    private void Receive()
    {
        while (_descriptor != None)
        {
            fixed (byte* free = &_buffer[_received])
            {
                IoResult received = SystemCalls.Receive(_descriptor, free, LongestAnswer - _received);
                if (received.WouldBlock)
                {
                    return;
                }

                if (received.IsError || received.Value == 0)
                {
                    Fail("closed before the answer, receive", received.Errno);
                    return;
                }

                _received += (int)received.Value;
            }

            if (TryComplete())
            {
                return;
            }
        }
    }

    /// <summary>Whether the answer is there, or is known to be wrong.</summary>
    private bool TryComplete()
    {
        ReadOnlySpan<byte> answer = _buffer.AsSpan(0, _received);
        Exchange exchange = Current;
        if (answer.Length < exchange.AnswerStart.Length)
        {
            return false;
        }

        bool isRefused = exchange.RefusalStart is { Length: > 0 } refusal && answer.StartsWith(refusal);
        if (!(isRefused || answer.StartsWith(exchange.AnswerStart)) || _received == LongestAnswer)
        {
            Fail($"wrong answer: {Encoding.ASCII.GetString(answer[..Math.Min(200, answer.Length)])}", 0);
            return true;
        }

        if (!answer.EndsWith(isRefused ? "\r\n\r\n"u8 : exchange.AnswerEnd))
        {
            return false;
        }

        OnAnswer(isRefused);
        return true;
    }

    private void OnAnswer(bool isRefused)
    {
        long now = Stopwatch.GetTimestamp();
        if (_isOpened)
        {
            Record(now, isRefused);
            _next = (_next + 1) % _group.Group.Exchanges.Count;
        }

        _isOpened = true;
        if (_group.Group.ConnectionsPerSecond > 0)
        {
            Close();
            _group.OnIdle(this);
        }
        else if (_group.Group.Reconnects)
        {
            Close();
            Open(now);
        }
        else
        {
            _since = now;
            GoOn();
        }
    }

    private void Record(long now, bool isRefused)
    {
        if (isRefused)
        {
            _group.Recorder.OnRefused(_since, now);
            return;
        }

        _group.Recorder.OnAnswer(_since, now);
        if (_group.Group.TellsQueueing)
        {
            ReadOnlySpan<byte> header = Handlers.QueueingHeader;
            ReadOnlySpan<byte> answer = _buffer.AsSpan(0, _received);
            int start = answer.IndexOf(header) + header.Length;
            bool isThere = Utf8Parser.TryParse(answer[start..], out long microseconds, out _);
            Debug.Assert(isThere, "The server was asked to tell.");
            _group.Recorder.OnQueueing(_since, now, microseconds * Stopwatch.Frequency / 1_000_000);
        }
    }

    private void GoOn()
    {
        if (_group.OpenLoop is { } openLoop && _isOpened)
        {
            _isAsking = false;
            openLoop.OnFree(this, Stopwatch.GetTimestamp());
        }
        else
        {
            Send();
        }
    }

    // Not opened again: an error fails the run, and a server that refuses would make this loop spin.
    private void Fail(string what, int error)
    {
        _group.Recorder.OnError(error == 0 ? what : $"{what}: {Errno.ToException(error).Message}", Stopwatch.GetTimestamp());
        Close();
    }
}
