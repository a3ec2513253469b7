using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests.Loops;

public class HandlerTableTests
{
    [Fact]
    public void Add_ManyHandlers_EachIsFoundByItsToken()
    {
        HandlerTable table = new();
        Handler[] handlers = [.. Enumerable.Range(0, 1000).Select(_ => new Handler())];
        foreach (Handler handler in handlers)
        {
            table.Add(handler);
        }

        Assert.Equal(1000, handlers.Select(handler => handler.Token).Distinct().Count());
        Assert.All(handlers, handler => Assert.True(table.TryGet(handler.Token, out ILoopHandler? found) && ReferenceEquals(found, handler)));
        Assert.Equal(1000, table.Snapshot().Length);
    }

    [Fact]
    public void TryGet_SlotWasGivenToAnother_StaleTokenFindsNobody()
    {
        HandlerTable table = new();
        Handler former = new();
        table.Add(former);
        Token stale = former.Token;
        table.Remove(former);
        Handler present = new();
        table.Add(present);

        Assert.Equal(stale.Slot, present.Token.Slot);
        Assert.False(table.TryGet(stale, out _));
        Assert.True(table.TryGet(present.Token, out _));
    }

    [Fact]
    public void Remove_Twice_FreesTheSlotOnce()
    {
        HandlerTable table = new();
        Handler former = new();
        table.Add(former);
        table.Remove(former);
        Handler first = new();
        table.Add(first);
        table.Remove(former);
        Handler second = new();
        table.Add(second);

        Assert.NotEqual(first.Token.Slot, second.Token.Slot);
        Assert.True(table.TryGet(first.Token, out _));
    }

    [Fact]
    public void TryGet_TokensOfNobody_FindNobody()
    {
        HandlerTable table = new();

        Assert.False(table.TryGet(Token.Wake, out _));
        Assert.False(table.TryGet(new Token(3, 1), out _));
    }

    private sealed class Handler : ILoopHandler
    {
        public Token Token { get; set; }

        public void OnReady(Readiness readiness)
        {
        }

        public void OnFault(Exception exception)
        {
        }

        public void Abandon()
        {
        }
    }
}
