using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests.Loops;

public class HandlerTableTests
{
    private readonly HandlerTable _table = new();

    [Fact]
    public void Add_OfMoreThanItBeganWith_KeepsEveryTokenAndFindsEveryHandler()
    {
        TestHandler[] handlers = [.. Enumerable.Range(0, 1_000).Select(_ => new TestHandler())];
        foreach (TestHandler handler in handlers)
        {
            _table.Add(handler);
        }

        Assert.Equal(handlers.Length, handlers.Select(handler => handler.Token).Distinct().Count());
        Assert.All(handlers, handler => Assert.Same(handler, Find(handler.Token)));
        Assert.Equal(handlers, _table.Snapshot());
    }

    [Fact]
    public void Remove_ThenAdd_ReusesTheSlotUnderAnotherToken()
    {
        HashSet<Token> tokens = [];
        int slot = -1;
        for (int i = 0; i < 100; i++)
        {
            TestHandler handler = new();
            _table.Add(handler);
            slot = slot < 0 ? handler.Token.Slot : slot;
            Assert.Equal(slot, handler.Token.Slot);
            Assert.True(tokens.Add(handler.Token), "A token was given out twice.");
            _table.Remove(handler);
        }
    }

    [Fact]
    public void TryGet_OfARemovedHandlersToken_FindsNobody()
    {
        TestHandler first = new();
        _table.Add(first);
        Token stale = first.Token;
        _table.Remove(first);
        Assert.Null(Find(stale));

        TestHandler second = new();
        _table.Add(second);

        Assert.Equal(stale.Slot, second.Token.Slot);
        Assert.Null(Find(stale));
        Assert.Same(second, Find(second.Token));
    }

    [Fact]
    public void Generations_OfReusedSlots_SurviveGrowth()
    {
        TestHandler[] early = [.. Enumerable.Range(0, 10).Select(_ => new TestHandler())];
        Array.ForEach(early, _table.Add);
        Token[] stale = [.. early.Select(handler => handler.Token)];
        Array.ForEach(early, _table.Remove);

        TestHandler[] late = [.. Enumerable.Range(0, 100).Select(_ => new TestHandler())];
        Array.ForEach(late, _table.Add);

        Assert.All(stale, token => Assert.Null(Find(token)));
        Assert.Empty(stale.Intersect(late.Select(handler => handler.Token)));
        Assert.All(late, handler => Assert.Same(handler, Find(handler.Token)));
    }

    [Fact]
    public void Remove_Twice_LeavesTheNextUserAlone()
    {
        TestHandler first = new();
        _table.Add(first);
        _table.Remove(first);
        TestHandler second = new();
        _table.Add(second);

        _table.Remove(first);
        TestHandler third = new();
        _table.Add(third);

        Assert.Same(second, Find(second.Token));
        Assert.NotEqual(second.Token.Slot, third.Token.Slot);
    }

    [Fact]
    public void TryGet_OfTokensThatWereNeverGiven_FindsNobody()
    {
        TestHandler handler = new();
        _table.Add(handler);

        Assert.Null(Find(Token.Wake));
        Assert.Null(Find(default));
        Assert.Null(Find(new Token(handler.Token.Slot, handler.Token.Generation + 1)));
        Assert.Null(Find(new Token(1_000_000, 1)));
        Assert.Null(Find(new Token(-2, 1)));
    }

    [Fact]
    public async Task TryGet_WhileOthersAddAndRemove_FindsWhoWasThereAllTheTime()
    {
        TestHandler present = new();
        _table.Add(present);
        using CancellationTokenSource stop = new();
        Task<int> looker = Task.Run(() =>
        {
            int looks = 0;
            while (!stop.IsCancellationRequested || looks == 0)
            {
                Assert.Same(present, Find(present.Token));
                looks++;
            }

            return looks;
        });
        Task[] changers = [.. Enumerable.Range(0, 2).Select(_ => Task.Run(() =>
        {
            for (int round = 0; round < 50; round++)
            {
                TestHandler[] others = [.. Enumerable.Range(0, 40 + (round * 4)).Select(_ => new TestHandler())];
                Array.ForEach(others, _table.Add);
                Assert.All(others, other => Assert.Same(other, Find(other.Token)));
                Array.ForEach(others, _table.Remove);
                Assert.All(others, other => Assert.Null(Find(other.Token)));
            }
        }))];

        await Task.WhenAll(changers).OrTimeout();
        await stop.CancelAsync().OrTimeout();
        Assert.True(await looker.OrTimeout() > 0);
        Assert.Equal([present], _table.Snapshot());
    }

    private ILoopHandler? Find(Token token) => _table.TryGet(token, out ILoopHandler? handler) ? handler : null;
}
