using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using Microsoft.Extensions.Logging.Abstractions;

namespace KestrelEpollTransport.Tests.Listening;

/// <summary>Reasons to pause, over real loops and a listening socket to which nobody connects.</summary>
public sealed class AcceptArmingTests : IDisposable
{
    private const int LoopCount = 3;

    private readonly LoopGroup _group = new(LoopCount, EventLoop.DriveOnThread, NullLogger.Instance);
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly AcceptArming _arming;

    public AcceptArmingTests()
    {
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _socket.Listen(1);
        _arming = CreateArming((int)_socket.SafeHandle.DangerousGetHandle());
    }

    private int ArmedLoops => _group.Started.Count(loop => loop.Handlers.Length == 1);

    public void Dispose()
    {
        // The handlers have no listener that the group's disposal could abandon.
        _arming.Pause(AcceptPause.Unbound);
        _group.Dispose();
        _socket.Dispose();
    }

    [Fact]
    public void Arm_OfAListeningSocket_RegistersInEveryLoop()
    {
        Assert.Equal(0, ArmedLoops);

        Assert.False(_arming.Arm().IsError);

        Assert.Equal(LoopCount, ArmedLoops);
        Assert.False(_arming.Arm().IsError);
        Assert.Equal(LoopCount, ArmedLoops);
    }

    [Fact]
    public void Arm_OfADescriptorThatIsNone_TellsTheError()
    {
        AcceptArming arming = CreateArming(descriptor: -1);

        Assert.Equal(Errno.EBADF, arming.Arm().Errno);

        Assert.Equal(0, ArmedLoops);
        Assert.Equal(Errno.EBADF, arming.Resume(AcceptPause.BackOff).Errno);
    }

    [Fact]
    public void Pause_ForOneReason_DeregistersEverywhereUntilItEnds()
    {
        _arming.Arm();

        Assert.True(_arming.Pause(AcceptPause.QueueFull));

        Assert.Equal(0, ArmedLoops);
        Assert.True(_arming.IsPausedFor(AcceptPause.QueueFull));
        Assert.False(_arming.IsPausedFor(AcceptPause.BackOff));
        Assert.False(_arming.Resume(AcceptPause.QueueFull).IsError);
        Assert.Equal(LoopCount, ArmedLoops);
        Assert.False(_arming.IsPausedFor(AcceptPause.QueueFull));
    }

    [Fact]
    public void Pause_ForAReasonThatIsThere_IsNotNew()
    {
        _arming.Arm();

        Assert.True(_arming.Pause(AcceptPause.BackOff));
        Assert.False(_arming.Pause(AcceptPause.BackOff));
        Assert.True(_arming.Pause(AcceptPause.QueueFull));

        // Not counted: one end of it is enough.
        _arming.Resume(AcceptPause.BackOff);
        _arming.Resume(AcceptPause.QueueFull);
        Assert.Equal(LoopCount, ArmedLoops);
    }

    [Theory]
    [InlineData(nameof(AcceptPause.QueueFull), nameof(AcceptPause.BackOff))]
    [InlineData(nameof(AcceptPause.BackOff), nameof(AcceptPause.QueueFull))]
    public void Resume_OfOneReasonOfTwo_StaysPaused(string first, string second)
    {
        _arming.Arm();
        _arming.Pause(Enum.Parse<AcceptPause>(first));
        _arming.Pause(Enum.Parse<AcceptPause>(second));

        _arming.Resume(Enum.Parse<AcceptPause>(first));
        Assert.Equal(0, ArmedLoops);

        _arming.Resume(Enum.Parse<AcceptPause>(second));
        Assert.Equal(LoopCount, ArmedLoops);
    }

    [Fact]
    public void Resume_AfterUnbound_NeverRegistersAgain()
    {
        _arming.Arm();
        _arming.Pause(AcceptPause.QueueFull);
        _arming.Pause(AcceptPause.Unbound);

        Assert.False(_arming.Resume(AcceptPause.QueueFull).IsError);
        Assert.False(_arming.Arm().IsError);

        Assert.Equal(0, ArmedLoops);
    }

    private AcceptArming CreateArming(int descriptor) =>
        new(Array.ConvertAll(_group.Loops, loop => new AcceptHandler(null!, loop)), descriptor);
}
