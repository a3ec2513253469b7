using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Posix;

namespace KestrelEpollTransport.Tests.Native;

public class SystemFeatureTests
{
    public static TheoryData<string> SystemsWithoutAbstractSockets => [SystemNumbers.Darwin.Name, SystemNumbers.FreeBsd.Name];

    [Theory]
    [MemberData(nameof(SystemsWithoutAbstractSockets))]
    public void AbstractUnixSocket_WhereThereAreNone_IsRefusedWithAMessageThatSaysSo(string name)
    {
        SystemNumbers system = name == SystemNumbers.Darwin.Name ? SystemNumbers.Darwin : SystemNumbers.FreeBsd;
        UnixDomainSocketEndPoint endPoint = new("\0a-name");

        PlatformNotSupportedException refusal = Assert.Throws<PlatformNotSupportedException>(() => SystemFeatureChecks.Check(endPoint, system));

        Assert.Contains(name, refusal.Message, StringComparison.Ordinal);
        Assert.Contains("abstract unix sockets", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("a-name", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Endpoints_ThatEverySystemHas_AreNotRefused()
    {
        foreach (SystemNumbers system in (SystemNumbers[])[SystemNumbers.Linux, SystemNumbers.Darwin, SystemNumbers.FreeBsd])
        {
            SystemFeatureChecks.Check(new UnixDomainSocketEndPoint("/a/path"), system);
            SystemFeatureChecks.Check(new UnixDomainSocketEndPoint("p"), system);
            SystemFeatureChecks.Check(new IPEndPoint(IPAddress.Any, 0), system);
        }

        SystemFeatureChecks.Check(new UnixDomainSocketEndPoint("\0a-name"), SystemNumbers.Linux);
    }
}
