using System.Globalization;
using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Native;
using Microsoft.Win32.SafeHandles;

namespace KestrelEpollTransport.Tests.Listening;

/// <summary>By the numbers of this process's descriptors, so nobody else may open any.</summary>
[Collection(RunsAlone.Name)]
public sealed class DescriptorHeadroomTests : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly List<Socket> _clients = [];
    private readonly List<SafeFileHandle> _opened = [];
    private readonly SocketAddress _address = SocketAddresses.CreateBuffer();
    private int _limit;
    private int _load = 1_000;

    public DescriptorHeadroomTests()
    {
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
        _listener.Blocking = false;
        for (int i = 0; i < 8; i++)
        {
            Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            client.Connect(_listener.LocalEndPoint!);
            _clients.Add(client);
        }

        // What the first use loads, it loads before anything is counted.
        DescriptorHeadroom first = Create();
        _limit = 64;
        Assert.True(TryAccept(first));
        Assert.False(TryAccept(first));

        // No holes below, also none that an earlier test's garbage would make, and enough numbers for a headroom of a few.
        Descriptors.CountSettled();
        while (_opened.Count < 300)
        {
            _opened.Add(File.OpenHandle("/dev/null"));
        }
    }

    private int Listener => (int)_listener.SafeHandle.DangerousGetHandle();

    // The number of the next descriptor as long as nothing is closed.
    private int Top => _opened.Max(static handle => (int)handle.DangerousGetHandle()) + 1;

    public void Dispose()
    {
        _clients.ForEach(static client => client.Dispose());
        _opened.ForEach(static handle => handle.Dispose());
        _listener.Dispose();
    }

    [Fact]
    public void Accept_FarFromTheLimit_Accepts()
    {
        DescriptorHeadroom tested = Create();
        _limit = 1_000_000;

        Assert.True(TryAccept(tested));
        Assert.True(TryAccept(tested));
    }

    [Fact]
    public void Accept_TakesAllButTheHeadroom_AndGoesOnWhenTheLimitIsRaised()
    {
        DescriptorHeadroom tested = Create();
        int size = LimitThatLeaves(3);
        int top = Top;

        // The next three numbers are below the headroom.
        Assert.True(TryAccept(tested));
        Assert.True(TryAccept(tested));
        Assert.True(TryAccept(tested));
        Assert.Equal(top + 3 + size, _limit);
        Assert.False(TryAccept(tested));
        Assert.False(TryAccept(tested));

        _limit *= 2;
        Assert.True(TryAccept(tested));
    }

    [Fact]
    public void Accept_WhereOthersUseSomeOfTheHeadroom_LeavesAsManyBelowIt()
    {
        const int Used = 3;
        DescriptorHeadroom tested = Create();
        LimitThatLeaves(1);
        Assert.True(TryAccept(tested));
        LimitThatLeaves(-Used);
        Assert.False(TryAccept(tested));

        Close(Used);
        Assert.False(TryAccept(tested));

        Close(1);
        Assert.True(TryAccept(tested));
        Assert.False(TryAccept(tested));
    }

    [Fact]
    public void Accept_WhereOthersThanConnectionsUseThemUp_Accepts()
    {
        DescriptorHeadroom tested = Create();
        int size = LimitThatLeaves(1);
        Assert.True(TryAccept(tested));
        Assert.False(TryAccept(tested));

        _load = size - 1;

        Assert.True(TryAccept(tested));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(0)]
    [InlineData(31)]
    public void Accept_WithoutALimitOrWithOneTooSmallForAHeadroom_Accepts(int limit)
    {
        DescriptorHeadroom tested = Create();
        _limit = limit;

        Assert.True(TryAccept(tested));
        Assert.True(TryAccept(tested));
    }

    [Fact]
    public void GetLimit_IsTheSystems()
    {
        int limit = new DescriptorHeadroom(() => 0).GetLimit();

        Assert.True(limit > 32);
        if (File.Exists("/proc/self/limits"))
        {
            string line = File.ReadLines("/proc/self/limits").First(static l => l.StartsWith("Max open files", StringComparison.Ordinal));
            Assert.Equal(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[3], limit.ToString(CultureInfo.InvariantCulture));
        }
    }

    private DescriptorHeadroom Create() => new(() => _load) { GetLimit = () => _limit };

    // A limit whose headroom begins so many numbers above the next one. Returns the size of the headroom.
    private int LimitThatLeaves(int numbers)
    {
        int begin = Top + numbers;
        _limit = begin;
        while (_limit - (_limit / 32) < begin)
        {
            _limit++;
        }

        Assert.InRange(_limit, 300, 1_000);
        Assert.Equal(begin, _limit - (_limit / 32));
        return _limit - begin;
    }

    private void Close(int count)
    {
        for (int i = 0; i < count; i++)
        {
            _opened[^100].Dispose();
            _opened.RemoveAt(_opened.Count - 100);
        }
    }

    // False: EMFILE. Nobody else's error, and never "nothing waits".
    private bool TryAccept(DescriptorHeadroom tested)
    {
        IoResult accepted = tested.Accept(Listener, _address);
        if (accepted.IsError)
        {
            Assert.Equal(Errno.EMFILE, accepted.Errno);
            return false;
        }

        _opened.Insert(0, new SafeFileHandle((nint)accepted.Value, ownsHandle: true));
        return true;
    }
}
