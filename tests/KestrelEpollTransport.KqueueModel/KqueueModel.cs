using System.Collections.Concurrent;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Bsd;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests;

/// <summary>
/// A model of kqueue(2) and kevent(2) on Linux: the calls as the manual pages of FreeBSD and macOS describe them, over the
/// kernel's epoll, so that real sockets and real data pass through the code that is for kqueue. Thread-safe.
/// </summary>
/// <remarks>
/// <para>It shows that our code does the right thing with a kqueue that is as the manual says. It can't show that a
/// kernel's kqueue is, nor anything else of a BSD: sockets, their errors and their numbers are Linux's.</para>
/// <para><b>What is modelled:</b> EVFILT_READ and EVFILT_WRITE on sockets as filters of their own, edges (EV_CLEAR) and
/// levels, EV_EOF with the error in fflags, EVFILT_USER with NOTE_TRIGGER, EV_ADD of what is there (it takes the new udata and
/// looks anew), ENOENT, receipts and the lack of room for them, the size of the structure.</para>
/// <para><b>Where it differs:</b> a filter may be told once more than a BSD would (Linux has one wake for the end of both
/// directions); fflags says ECONNRESET for every error (Linux can't be asked for it without taking it); the end of our own
/// sending side is not told before the peer's has ended too; filters live until they are deleted, also when the
/// descriptor was closed. What the transport does not use is refused.</para>
/// </remarks>
internal sealed unsafe class KqueueModel(KqueueNumbers numbers) : KqueueCalls(numbers)
{
    private readonly ConcurrentDictionary<int, ModelQueue> _queues = new();

    /// <summary>Makes a <see cref="KqueuePoller"/> over a model of its own.</summary>
    public static Poller CreatePoller(KqueueNumbers numbers) => new KqueuePoller(new KqueueModel(numbers));

    public override IoResult Create()
    {
        IoResult created = ModelQueue.TryCreate(out ModelQueue? queue);
        if (queue is not null)
        {
            _queues[queue.Descriptor] = queue;
        }

        return created;
    }

    public override IoResult Change(int queue, byte* changes, int changeCount, byte* events, int eventCount, Timespec* timeout)
    {
        if (!_queues.TryGetValue(queue, out ModelQueue? found))
        {
            return IoResult.Failure(Errno.EBADF);
        }

        int answers = 0;
        for (int i = 0; i < changeCount; i++)
        {
            Kevent change = *(Kevent*)(changes + (i * Numbers.EventSize));
            int errno = found.Apply(change, Numbers.UserFilter);
            bool wantsReceipt = (change.Flags & Kevent.EV_RECEIPT) != 0;
            if (errno == 0 && !wantsReceipt)
            {
                continue;
            }

            if (answers == eventCount)
            {
                // No room for the answer: the rest of the list is left, and this one's error, or none, is all that is said.
                return errno == 0 ? IoResult.Success(answers) : IoResult.Failure(errno);
            }

            // The list of answers may be the list of changes; this one has been read.
            change.Flags = IsFreeBsd ? Kevent.EV_ERROR : (ushort)(change.Flags | Kevent.EV_ERROR);
            change.Data = errno;
            Write(events, answers++, change);
        }

        return answers > 0 || eventCount == 0 ? IoResult.Success(answers) : Wait(found, events, eventCount, timeout);
    }

    public override void Close(int queue)
    {
        if (_queues.TryRemove(queue, out ModelQueue? found))
        {
            found.Dispose();
        }
    }

    private bool IsFreeBsd => Numbers == KqueueNumbers.FreeBsd;

    private IoResult Wait(ModelQueue queue, byte* events, int eventCount, Timespec* timeout)
    {
        TimeSpan? limit = timeout is null
            ? null
            : TimeSpan.FromSeconds(timeout->Seconds) + TimeSpan.FromMicroseconds(timeout->Nanoseconds / 1_000);
        Kevent[] told = new Kevent[eventCount];
        IoResult result = queue.Wait(told, limit);
        for (int i = 0; i < (int)result.Value; i++)
        {
            Write(events, i, told[i]);
        }

        return result;
    }

    private void Write(byte* events, int index, in Kevent source)
    {
        byte* place = events + (index * Numbers.EventSize);
        // What lies behind the part that both systems have is not ours to trust: fill it, so that nobody does.
        new Span<byte>(place, Numbers.EventSize).Fill(0xEE);
        *(Kevent*)place = source;
    }
}
