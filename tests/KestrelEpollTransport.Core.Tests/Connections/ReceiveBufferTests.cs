using System.Buffers;
using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Buffers;
using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>The positions that a reader is given back: those of its own buffer, and of no other.</summary>
public sealed class ReceiveBufferTests : IDisposable
{
    private readonly Socket _ours;
    private readonly Socket _peer;
    private readonly BlockSource _blocks = new(MemoryPool<byte>.Shared);
    private ReceiveBuffer _buffer = new(new object());

    public ReceiveBufferTests()
    {
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(1);
        _peer = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { SendTimeout = (int)Timeouts.Limit.TotalMilliseconds };
        _peer.Connect(listener.LocalEndPoint!);
        _ours = listener.Accept();
        _ours.ReceiveTimeout = (int)Timeouts.Limit.TotalMilliseconds;
    }

    [Fact]
    public void Advance_ToTheDefaultPosition_ChangesNothing()
    {
        _buffer.Advance(default, default);
        Receive(ref _buffer, 100);
        _buffer.Advance(_buffer.Sequence.GetPosition(10), _buffer.Sequence.GetPosition(30));
        Assert.Equal((90, 70), (_buffer.Buffered, _buffer.Unexamined));

        _buffer.Advance(default, default);

        Assert.Equal((90, 70), (_buffer.Buffered, _buffer.Unexamined));
        Assert.Equal(90, _buffer.Sequence.Length);
    }

    [Fact]
    public void Advance_ToAPositionOfAReleasedSegment_IsRefused()
    {
        Receive(ref _buffer, 100);
        SequencePosition old = _buffer.Sequence.GetPosition(50);
        _buffer.Advance(_buffer.Sequence.End, _buffer.Sequence.End);
        Assert.Equal(0, _buffer.Buffered);

        Assert.Throws<InvalidOperationException>(() => _buffer.Advance(old, old));
        Assert.Equal((0, 0), (_buffer.Buffered, _buffer.Unexamined));
    }

    [Fact]
    public void Advance_ToAPositionOfAnotherBuffer_IsRefused()
    {
        ReceiveBuffer other = new(new object());
        Receive(ref _buffer, 100);
        Receive(ref other, 100);
        SequencePosition foreign = other.Sequence.GetPosition(50);
        SequencePosition unknown = new ReadOnlySequence<byte>(new byte[100]).GetPosition(50);

        foreach (SequencePosition position in new[] { foreign, unknown })
        {
            Assert.Throws<InvalidOperationException>(() => _buffer.Advance(position, position));
            Assert.Throws<InvalidOperationException>(() => _buffer.Advance(_buffer.Sequence.Start, position));
        }

        Assert.Equal((100, 100), (_buffer.Buffered, _buffer.Unexamined));
        other.Free();
    }

    [Fact]
    public void Advance_ToPositionsInTheWrongOrderOrOutside_IsRefused()
    {
        Receive(ref _buffer, 100);
        ReadOnlySequence<byte> before = _buffer.Sequence;
        _buffer.Advance(before.GetPosition(20), before.GetPosition(60));

        Assert.Throws<InvalidOperationException>(() => _buffer.Advance(before.GetPosition(50), before.GetPosition(40)));
        Assert.Throws<InvalidOperationException>(() => _buffer.Advance(before.GetPosition(10), before.GetPosition(60)));
        SequencePosition outside = new(before.End.GetObject(), before.End.GetInteger() + 1);
        Assert.Throws<InvalidOperationException>(() => _buffer.Advance(before.Start, outside));

        Assert.Equal((80, 40), (_buffer.Buffered, _buffer.Unexamined));
    }

    public void Dispose()
    {
        _buffer.Free();
        _blocks.Dispose();
        _ours.Dispose();
        _peer.Dispose();
    }

    private void Receive(ref ReceiveBuffer buffer, int count)
    {
        long expected = buffer.Buffered + count;
        _peer.SendAll(new byte[count]);
        while (buffer.Buffered < expected)
        {
            Assert.True(buffer.Receive(_blocks, (int)_ours.Handle, limit: count, out bool _).Value > 0);
        }
    }
}
