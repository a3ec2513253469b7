using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Tests.Loops;

/// <summary>
/// Every interleaving of the threads that drive one loop with those that post to it, call a thread for it, and stop it: the crew and the pass
/// together, over a poller whose wake is told to one wait.
/// </summary>
public class CrewTests
{
    private const int Seats = 2;

    [Fact]
    public void Drivers_ThatPollAndLeave_RunEverythingOnceAndLeaveOnePolling()
    {
        Explore(new Setup { Drivers = 2, Ready = 2 });
        Explore(new Setup { Drivers = 2, Ready = 1, Posts = 1 });
        Explore(new Setup { Drivers = 1, Posts = 2 });
    }

    [Fact]
    public void CalledThread_ThatComesLateOrNever_ChangesNothing()
    {
        Explore(new Setup { Drivers = 1, Ready = 2, Calls = 1 });
        Explore(new Setup { Drivers = 1, Posts = 1, Calls = 1 });
        Explore(new Setup { Drivers = 1, Ready = 1, RefusedCalls = 1 });
    }

    [Fact]
    public void RefusedThread_LeavesRoomForTheNextCall()
    {
        Crew crew = new(maxSeats: 2);
        Assert.True(crew.TryCall(out int seat));
        Assert.False(crew.Leave(seat, isRefused: true));

        Assert.False(crew.IsCalled);
        Assert.True(crew.TryCall(out int again));
        Assert.Equal(seat, again);
    }

    [Fact]
    public void CalledThread_ThatFindsNoProcessor_LeavesEverythingToThoseWhoAreHere()
    {
        Explore(new Setup { Drivers = 1, Ready = 2, Calls = 1, IsCrowded = true });
        Explore(new Setup { Drivers = 1, Ready = 1, Calls = 1, RefusedCalls = 1, IsCrowded = true });
        Explore(new Setup { Drivers = 1, Ready = 1, Calls = 2, RefusedCalls = 1, IsCrowded = true }, seats: 3);
        Explore(new Setup { Drivers = 2, Ready = 1, Calls = 1, IsCrowded = true }, seats: 3);
        Explore(new Setup { Drivers = 1, Ready = 1, Calls = 1, IsCrowded = true, Stops = true });
    }

    [Fact]
    public void Stop_WhateverTheDriversDo_EndsTheLoopOnceAndLeavesNobodyInThePoller()
    {
        Explore(new Setup { Drivers = 2, Ready = 1, Stops = true });
        Explore(new Setup { Drivers = 2, Posts = 1, Stops = true });
        Explore(new Setup { Drivers = 1, Ready = 1, Calls = 1, Stops = true });
        Explore(new Setup { Drivers = 1, Ready = 1, RefusedCalls = 1, Stops = true });
    }

    [Fact]
    public void PollerThatFails_BesideADriverInADispatch_EndsTheLoopOnce()
    {
        Explore(new Setup { Drivers = 2, Ready = 1, FailsPoll = true });
        Explore(new Setup { Drivers = 2, Ready = 1, Posts = 1, FailsPoll = true });
    }

    [Theory]
    [InlineData(CrewFault.PollsAfterTheStop)]
    [InlineData(CrewFault.LeavesBesideNobody)]
    [InlineData(CrewFault.KeepsTheRightOfABrokenPoller)]
    [InlineData(CrewFault.FreesTheRightOfABrokenPoller)]
    [InlineData(CrewFault.ForgetsThatItWasTheLast)]
    [InlineData(CrewFault.LooksOnceBeforeItSleeps)]
    [InlineData(CrewFault.FreesTheRightBeforeItPublishes)]
    [InlineData(CrewFault.DeclinesAsTheLast)]
    [InlineData(CrewFault.EndsTheCallBeforeItLeaves)]
    internal void Fault_IsFound(CrewFault fault)
    {
        Setup[] setups =
        [
            new Setup { Drivers = 2, Ready = 2 },
            new Setup { Drivers = 1, Posts = 2 },
            new Setup { Drivers = 2, Ready = 1, Stops = true },
            new Setup { Drivers = 2, Ready = 1, FailsPoll = true },
            new Setup { Drivers = 1, Ready = 1, RefusedCalls = 1, Stops = true },
            new Setup { Drivers = 1, Ready = 2, Calls = 1, IsCrowded = true },
            new Setup { Drivers = 1, Ready = 2, Calls = 1, RefusedCalls = 1, IsCrowded = true },
        ];

        Assert.Contains(setups, setup => Record.Exception(() => Explore(setup with { Fault = fault })) is InterleavingException);
    }

    private static void Explore(Setup setup, int seats = Seats)
    {
        List<Actor<CrewModel>> actors = [];
        for (int i = 0; i < setup.Drivers; i++)
        {
            int seat = i;
            actors.Add(new Actor<CrewModel>($"driver {i}", model => model.Drive(seat)));
        }

        for (int i = 0; i < setup.Calls; i++)
        {
            actors.Add(new Actor<CrewModel>("caller", static model => model.Call(isRefused: false)));
            actors.Add(new Actor<CrewModel>("called", static model => model.Come()));
        }

        for (int i = 0; i < setup.RefusedCalls; i++)
        {
            actors.Add(new Actor<CrewModel>("watch", static model => model.Call(isRefused: true)));
        }

        if (setup.Ready > 0)
        {
            actors.Add(new Actor<CrewModel>("kernel", static model => model.MakeReady()));
        }

        for (int i = 0; i < setup.Posts; i++)
        {
            actors.Add(new Actor<CrewModel>("poster", static model => model.Post()));
        }

        if (setup.IsCrowded)
        {
            actors.Add(new Actor<CrewModel>("others", static model => model.Crowd()));
        }

        if (setup.Stops)
        {
            actors.Add(new Actor<CrewModel>("stopper", static model => model.Stop()));
        }

        int states = Interleavings.ExploreStates(() => new CrewModel(setup, seats), static model => model.Check(), [.. actors]);
        Assert.True(states > 20, $"Only {states} states: the actors did not meet.");
    }
}
