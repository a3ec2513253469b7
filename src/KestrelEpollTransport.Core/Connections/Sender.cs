using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The sending of a writer: the queue of bytes and the word that says who sends them. Whoever becomes the sender sends
/// until all is sent, the kernel is full, or the connection is closed. Any thread, except as noted.
/// </summary>
internal struct Sender
{
    private readonly EpollConnection _connection;
    private SendWord _word;
    private SendQueue _queue;
    private volatile bool _isCompleting;

    /// <summary>Whether room was asked for; the sender's.</summary>
    private bool _asked;

    public Sender(EpollConnection connection)
    {
        _connection = connection;
    }

    /// <summary>Bytes written and not yet committed. The writer's caller.</summary>
    public readonly long Uncommitted => _queue.Uncommitted;

    /// <summary>Bytes committed and not yet sent.</summary>
    public readonly long Unsent => _queue.Unsent;

    /// <summary>Whether bytes are discarded instead of sent.</summary>
    public readonly bool IsClosed => _word.IsClosed;

    /// <summary>The writer's caller takes the tail, until the next <see cref="Send"/> or <see cref="TryMark"/>.</summary>
    public void Lend() => _word.Lend();

    /// <inheritdoc cref="SendQueue.GetRoom"/>
    public Memory<byte> GetRoom(int sizeHint) => _queue.GetRoom(_connection.Blocks, sizeHint);

    /// <inheritdoc cref="SendQueue.Advance"/>
    public void Advance(int count) => _queue.Advance(count);

    /// <inheritdoc cref="SendQueue.Commit"/>
    public void Commit() => _queue.Commit();

    /// <summary>
    /// The writer's caller leaves what it committed to whoever sends next, and gives the tail back. False: closed, there is
    /// nobody to leave it to.
    /// </summary>
    public bool TryMark()
    {
        MarkOutcome outcome = _word.Mark();
        if (outcome == MarkOutcome.Watch)
        {
            _connection.Shared.Watch.Add(_connection.Writer);
        }

        return outcome != MarkOutcome.Closed;
    }

    /// <summary>Sends, or leaves it to the present sender.</summary>
    /// <param name="returnsLoan">The writer's caller gives the tail back.</param>
    public void Send(bool returnsLoan)
    {
        if (_word.TryBegin(returnsLoan) == BeginSend.Mine)
        {
            Drain();
        }
    }

    /// <summary>Sends what is marked, if anything is.</summary>
    public void SendMarked()
    {
        if (_word.IsMarked)
        {
            Send(returnsLoan: false);
        }
    }

    /// <summary>The watch looks, and forgets this. True: something is still marked.</summary>
    public bool TryUnwatch() => _word.Unwatch();

    /// <summary>The kernel has room again.</summary>
    public void OnWritable()
    {
        if (_word.OnWritable())
        {
            Drain();
        }
    }

    /// <summary>From now on everything is discarded, beginning with what is queued.</summary>
    public void Close()
    {
        if (_word.Close())
        {
            Drain();
        }
    }

    /// <summary>The writer is completed: sends the rest, and then tells the connection.</summary>
    public void Complete()
    {
        _isCompleting = true;
        Send(returnsLoan: true);
    }

    // The sender, until the word says that it no longer is.
    private void Drain()
    {
        while (TrySendAll())
        {
            EndSend end = _word.TryEnd();
            if (end == EndSend.Done)
            {
                break;
            }

            if (end == EndSend.Reclaim)
            {
                _queue.Free();
                bool allSent = _isCompleting;
                if (!_word.EndReclaim())
                {
                    if (allSent)
                    {
                        _connection.OnAllSent();
                    }

                    break;
                }
            }
        }

        // No longer the sender, by a compare-exchange: a flush that waits for room is seen, or sees what was sent.
        _connection.Writer.OnSent();
    }

    // False: the kernel is full and the loop sends the rest; this thread is no longer the sender.
    private bool TrySendAll()
    {
        while (_queue.Unsent > 0)
        {
            // Before the send: an edge that comes from here on is remembered.
            _word.ClearWritable();
            if (_word.IsClosed || !_connection.TryEnterDescriptor(out int descriptor))
            {
                _queue.Discard();
                continue;
            }

            IoResult sent;
            try
            {
                sent = _queue.SendOnce(descriptor);
            }
#pragma warning disable CA1031 // The application's memory pool failed to pin. This thread is the sender, and has to go on as one.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                _connection.LeaveDescriptor();
                _connection.OnFault(exception);
                continue;
            }

            _connection.LeaveDescriptor();
            if (sent.WouldBlock)
            {
                AskForRoom(true);
                if (_word.TryBlock())
                {
                    return false;
                }
            }
            else if (sent.IsError)
            {
                // Ends in Close, which tells this thread, the sender, to look again: it discards the rest.
                _connection.OnSendError(sent.Errno);
            }
        }

        AskForRoom(false);
        return true;
    }

    // Asking tells at once if there is room already. Only the sender asks, so what it asked last is what holds.
    private void AskForRoom(bool ask)
    {
        if (_asked != ask)
        {
            _asked = ask;
            _connection.AskForWritable(ask);
        }
    }
}
