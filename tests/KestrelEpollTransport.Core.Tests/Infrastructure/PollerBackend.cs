using KestrelEpollTransport.Native.Bsd;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests;

/// <summary>A poller to test, and where the contract leaves it a choice.</summary>
/// <param name="Name">Of the test's output.</param>
/// <param name="Create">A new poller.</param>
/// <param name="SeesUrgentData">Whether it tells urgent data when there is some, and not in case there is some.</param>
/// <param name="SaysMistakes">Whether registering twice is an error.</param>
internal sealed record PollerBackend(string Name, Func<Poller> Create, bool SeesUrgentData, bool SaysMistakes)
{
    /// <summary>What the transport uses on the machine that runs the tests.</summary>
    public static PollerBackend System { get; } = new("the system's", Poller.Create, OperatingSystem.IsLinux(), OperatingSystem.IsLinux());

    public static PollerBackend DarwinModel { get; } = Model("a model of macOS's kqueue", KqueueNumbers.Darwin);

    public static PollerBackend FreeBsdModel { get; } = Model("a model of FreeBSD's kqueue", KqueueNumbers.FreeBsd);

    private static PollerBackend Model(string name, KqueueNumbers numbers) =>
        new(name, () => KqueueModel.CreatePoller(numbers), SeesUrgentData: false, SaysMistakes: false);
}
