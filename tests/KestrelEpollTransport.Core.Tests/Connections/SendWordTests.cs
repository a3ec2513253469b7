using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>Every interleaving of a writer with those who send for it, and with the end.</summary>
public class SendWordTests
{
    private static readonly Dictionary<string, Func<SendModel, IEnumerable<Step>>> s_actors = new()
    {
        ["flush"] = model => model.Flush(),
        ["flush twice"] = model => model.FlushTwice(),
        ["mark"] = model => model.FlushMarking(),
        ["mark twice"] = model => model.FlushMarkingTwice(),
        ["edge"] = model => model.Edge(),
        ["watch"] = model => model.Watch(),
        ["send marked"] = model => model.SendMarked(),
        ["close"] = model => model.Close(),
    };

    [Theory]
    [InlineData("flush twice", "edge")]
    [InlineData("flush twice", "close")]
    [InlineData("flush twice", "send marked")]
    [InlineData("mark twice", "watch")]
    [InlineData("mark twice", "edge")]
    [InlineData("mark twice", "send marked")]
    [InlineData("mark twice", "close")]
    [InlineData("flush", "edge", "close")]
    [InlineData("flush", "edge", "edge")]
    [InlineData("mark", "watch", "edge")]
    [InlineData("mark", "watch", "send marked")]
    [InlineData("mark", "watch", "close")]
    public void Writer_AgainstWhoSendsForIt_EveryByteIsSentOnceAndNoBlockIsKept(params string[] names)
    {
        Actor<SendModel>[] actors = [.. names.Select(name => new Actor<SendModel>(name, s_actors[name]))];
        int schedules = 0;
        for (int room = 0; room <= 2; room++)
        {
            int startsWith = room;
            schedules += Interleavings.Explore(() => new SendModel(startsWith), model => model.Check(), actors);
        }

        Assert.True(schedules > 50, $"Only {schedules} schedules: the actors did not meet.");
    }

    [Fact]
    public void Sender_BlockedPublishedWithoutTheLook_HangsForEver()
    {
        // Wrong on purpose: what the edge left behind is not looked at when the sender says that it is blocked.
        static IEnumerable<Step> Wrong(Broken state)
        {
            yield return "ClearWritable";
            state.Writable = false;
            yield return "send";
            state.Sent = state.Room;
            if (!state.Sent)
            {
                yield return "publish Blocked";
                state.Blocked = true;
            }
        }

        static IEnumerable<Step> Edge(Broken state)
        {
            yield return "the kernel gets room";
            state.Room = true;
            yield return "OnWritable";
            state.Writable = true;
            state.Sent |= state.Blocked;
        }

        InterleavingException found = Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            () => new Broken(),
            state => Assert.True(state.Sent, "Blocked for ever, with room."),
            new Actor<Broken>("sender", Wrong),
            new Actor<Broken>("edge", Edge)));
        Assert.Contains("Blocked for ever", found.Message, StringComparison.Ordinal);
    }

    private sealed class Broken
    {
        public bool Writable { get; set; }

        public bool Room { get; set; }

        public bool Blocked { get; set; }

        public bool Sent { get; set; }
    }
}
