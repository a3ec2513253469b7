using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>Every interleaving of those who write, send, make room, watch and close.</summary>
public class SendWordTests
{
    private static readonly Dictionary<string, Func<SendModel, IEnumerable<Step>>> s_actors = new()
    {
        ["flush"] = model => model.Flush(),
        ["flush marked"] = model => model.FlushMarked(),
        ["flush twice"] = model => model.Flush().Concat(model.Flush()),
        ["mark twice"] = model => model.FlushMarked().Concat(model.FlushMarked()),
        ["lend"] = model => model.LendOnly(),
        ["complete"] = model => model.Complete(),
        ["flush and complete"] = model => model.FlushAndComplete(),
        ["send"] = model => model.SendCommitted(),
        ["send marked"] = model => model.SendMarked(),
        ["watch"] = model => model.Watch(),
        ["room"] = model => model.MakeRoom(1),
        ["much room"] = model => model.MakeRoom(9),
        ["loop"] = model => model.Loop(),
        ["hint"] = model => model.OnWritable(),
        ["close"] = model => model.Close(),
    };

    [Theory]
    [InlineData("send,room,loop", true)]
    [InlineData("send,room,loop", false)]
    [InlineData("send,hint,room,loop", true)]
    [InlineData("send,flush,much room,loop", true)]
    public void Send_WithoutRoom_IsFinishedOnceThereIsRoom(string actors, bool isTcp) =>
        Explore(() => SendModel.Committed(room: 0, isTcp: isTcp), sendsAll: true, actors);

    [Theory]
    [InlineData("send,hint")]
    [InlineData("send,hint,hint")]
    [InlineData("send,flush")]
    public void Send_WithoutRoomAndNoneToCome_IsLeftToTheEdge(string actors) =>
        Explore(() => SendModel.Committed(room: 0), sendsAll: false, actors);

    [Theory]
    [InlineData("flush,room,loop")]
    [InlineData("flush marked,room,loop")]
    public void Flush_OverABlockedQueue_IsSentInOrder(string actors) =>
        Explore(SendModel.Blocked, sendsAll: false, actors);

    [Theory]
    [InlineData("flush,much room,loop")]
    [InlineData("flush marked,watch,much room,loop")]
    [InlineData("flush and complete,much room,loop")]
    public void Flush_OverABlockedQueueThatGetsRoom_IsSentInOrder(string actors) =>
        Explore(SendModel.Blocked, sendsAll: true, actors);

    [Theory]
    [InlineData("send,flush")]
    [InlineData("send,flush twice")]
    [InlineData("send,flush marked,watch")]
    [InlineData("send,flush marked,send marked,watch")]
    [InlineData("send,lend")]
    [InlineData("send,complete")]
    [InlineData("send,flush and complete")]
    [InlineData("send,send")]
    [InlineData("send,send,hint")]
    public void Sender_Leaving_LosesNothingAndFreesNothingThatIsLent(string actors) =>
        Explore(() => SendModel.Committed(room: 9), sendsAll: true, actors);

    [Theory]
    [InlineData("mark twice,watch")]
    [InlineData("mark twice,watch,send marked")]
    [InlineData("flush marked,watch,hint")]
    public void Mark_WithTheWatch_IsSent(string actors) => Explore(() => SendModel.Idle(room: 9), sendsAll: true, actors);

    [Fact]
    public void Mark_BeforeTheWatchLooks_IsOwedByIt() =>
        Explore(() => SendModel.Idle(room: 9), sendsAll: false, "flush marked,send marked");

    [Theory]
    [InlineData("close,flush", 0)]
    [InlineData("close,flush", 9)]
    [InlineData("close,flush marked,watch", 0)]
    [InlineData("close,flush marked,watch", 9)]
    [InlineData("close,lend", 9)]
    [InlineData("close,complete", 9)]
    [InlineData("close,flush and complete", 9)]
    [InlineData("close,hint", 9)]
    public void Close_AgainstTheProducer_DiscardsWhatIsNotSent(string actors, int room) =>
        Explore(() => SendModel.Idle(room), sendsAll: true, actors);

    [Theory]
    [InlineData("close,send", 0)]
    [InlineData("close,send", 9)]
    [InlineData("close,send,hint", 0)]
    [InlineData("close,send,room,loop", 0)]
    public void Close_AgainstTheSender_DiscardsWhatIsNotSent(string actors, int room) =>
        Explore(() => SendModel.Committed(room), sendsAll: true, actors);

    [Theory]
    [InlineData("close,room,loop")]
    [InlineData("close,flush")]
    [InlineData("close,flush marked,watch")]
    [InlineData("close,close")]
    public void Close_OfABlockedQueue_DiscardsIt(string actors) => Explore(SendModel.Blocked, sendsAll: true, actors);

    [Theory]
    [InlineData((int)SendFlaw.BlocksUnchecked, "send,room,loop", 0, "OnWritable")]
    [InlineData((int)SendFlaw.ClearsAfterSend, "send,room,loop", 0, "OnWritable")]
    [InlineData((int)SendFlaw.LeavesAtAgain, "send,flush", 9, "commit")]
    [InlineData((int)SendFlaw.FreesLate, "send,lend", 9, "Lend")]
    [InlineData((int)SendFlaw.CommitsLate, "send,flush", 9, "TryBegin")]
    [InlineData((int)SendFlaw.ForgetsTheWatch, "flush marked,watch", 9, "Mark")]
    public void Model_WithAFlaw_IsFoundOut(int flaw, string actors, int room, string culprit)
    {
        InterleavingException found = Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            () => SendModel.Committed(room, (SendFlaw)flaw), model => model.Check(), Actors(actors)));

        Assert.Contains(culprit, found.Message, StringComparison.Ordinal);
    }

    private static void Explore(Func<SendModel> create, bool sendsAll, string actors)
    {
        int count = Interleavings.Explore(
            create,
            model =>
            {
                if (sendsAll)
                {
                    model.Check();
                }
                else
                {
                    model.CheckOwed();
                }
            },
            Actors(actors));

        Assert.True(count > 5, $"Only {count} schedules: the actors did not meet.");
    }

    private static Actor<SendModel>[] Actors(string names) =>
        [.. names.Split(',').Select(name => new Actor<SendModel>(name, s_actors[name]))];
}
