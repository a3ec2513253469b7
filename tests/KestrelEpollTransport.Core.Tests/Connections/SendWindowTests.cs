namespace KestrelEpollTransport.Tests.Connections;

/// <summary>Every interleaving of a sender that finds no room with the kernel that makes some and the loop that is told.</summary>
public class SendWindowTests
{
    private static readonly Dictionary<string, Func<SendModel, IEnumerable<Step>>> s_actors = new()
    {
        ["flush"] = model => model.Flush(1),
        ["long flush"] = model => model.Flush(3),
        ["room"] = model => model.MakeRoom(1),
        ["much room"] = model => model.MakeRoom(9),
        ["hint"] = model => model.Hint(),
        ["loop"] = model => model.Loop(),
    };

    [Theory]
    [InlineData("flush+room+loop")]
    [InlineData("flush+much room+loop")]
    [InlineData("flush+hint+loop")]
    [InlineData("flush+room+hint+loop")]
    [InlineData("flush+flush+loop")]
    [InlineData("flush+flush+room+loop")]
    [InlineData("flush+flush+room+room+loop")]
    [InlineData("flush+flush+much room+hint+loop")]
    [InlineData("long flush+room+loop")]
    [InlineData("long flush+room+room+loop")]
    [InlineData("long flush+much room+loop")]
    [InlineData("long flush+much room+hint+loop")]
    [InlineData("long flush+flush+much room+room+loop")]
    public void Sender_ThatFindsNoRoom_IsNeverStuckBesideRoom(string actors)
    {
        foreach (bool isTcp in (bool[])[true, false])
        {
            for (int room = 0; room <= 3; room++)
            {
                int states = Interleavings.ExploreStates(
                    () => new SendModel(room, isTcp), model => model.Check(), Actors(actors));

                Assert.True(states > 5, $"Only {states} states: the actors did not meet.");
            }
        }
    }

    [Theory]
    [InlineData((int)SendFlaw.SendsOnce, true, 0, "flush+room+loop", "Stuck beside room")]
    [InlineData((int)SendFlaw.BlocksLate, true, 0, "flush+room+loop", "Stuck beside room")]
    [InlineData((int)SendFlaw.LacksTheFence, true, 0, "flush+room+loop", "Stuck beside room")]
    [InlineData((int)SendFlaw.LacksTheFence, false, 0, "flush+room+loop", "Stuck beside room")]
    [InlineData((int)SendFlaw.NeverAsks, false, 0, "flush+room+loop", "Stuck beside room")]
    [InlineData((int)SendFlaw.StaysBlocked, true, 0, "long flush+much room+loop", "Stuck beside room")]
    public void Model_WithAFlaw_IsFoundOut(int flaw, bool isTcp, int room, string actors, string culprit)
    {
        InterleavingException found = Assert.Throws<InterleavingException>(() => Interleavings.ExploreStates(
            () => new SendModel(room, isTcp, (SendFlaw)flaw), model => model.Check(), Actors(actors)));

        Assert.Contains(culprit, found.Message, StringComparison.Ordinal);
    }

    private static Actor<SendModel>[] Actors(string names) =>
        [.. names.Split('+').Select(name => new Actor<SendModel>(name, s_actors[name]))];
}
