using System.Diagnostics;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Scheduling;

[Collection(RunsAlone.Name)]
public class DispatchCostTests
{
    private static readonly long s_ms = Stopwatch.Frequency / 1000;

    [Fact]
    public void Unasked_WhatItCost_IsTheTime()
    {
        long began = DispatchCost.Begin(asksKernel: false);
        Compute(s_ms);

        Assert.InRange(DispatchCost.End(began, limit: 0).Ticks, s_ms, long.MaxValue);
    }

    [Fact]
    public void Asked_WhoBlocks_CostsTheTime()
    {
        long began = DispatchCost.Begin(asksKernel: true);
        Thread.Sleep(20);

        (long cost, bool? slept, long computed) = DispatchCost.End(began, limit: 0);
        Assert.InRange(cost, 19 * s_ms, long.MaxValue);
        Assert.InRange(computed, 0, cost / 2);
        Assert.True(slept);
    }

    [Fact]
    public void Asked_WhoBlocksWhileTheCollectorRuns_StillSlept()
    {
        long began = DispatchCost.Begin(asksKernel: true);
        GC.Collect(0);
        Thread.Sleep(20);

        (_, bool? slept, _) = DispatchCost.End(began, limit: s_ms);
        Assert.True(slept);
    }

    [Fact]
    public void Asked_WhoWaitsForLessThanTheLimit_DidNotSleep()
    {
        // One turn is proof enough: in another the machine may have kept the thread waiting for longer.
        bool? slept = null;
        for (int turn = 0; turn < 10 && slept != false; turn++)
        {
            long began = DispatchCost.Begin(asksKernel: true);
            Thread.Sleep(5);
            Compute(30 * s_ms);
            slept = DispatchCost.End(began, limit: 20 * s_ms).Slept;
        }

        Assert.False(slept);
    }

    [Fact]
    public void Asked_WhoComputes_DidNotSleep()
    {
        ThreadUsage before = ThreadUsage.OfThisThread()!.Value;
        long began = DispatchCost.Begin(asksKernel: true);
        while (ThreadUsage.OfThisThread()!.Value.ProcessorTicks - before.ProcessorTicks < 10 * s_ms)
        {
            Compute(s_ms);
        }

        DispatchTime time = DispatchCost.End(began, limit: 9 * s_ms);
        Assert.False(time.Slept);
        Assert.InRange(time.ComputedTicks, 9 * s_ms, time.Ticks + s_ms);
    }

    [Fact]
    public void Asked_WhoWaitsForAProcessor_DidNotSleep()
    {
        // One turn is proof enough: in another the collector may have stopped the thread, which counts as waiting.
        bool? slept = null;
        BusyProcessor.Run(() =>
        {
            for (int turn = 0; turn < 10 && slept != false; turn++)
            {
                long began = DispatchCost.Begin(asksKernel: true);
                Compute(40 * s_ms);
                slept = DispatchCost.End(began, limit: s_ms).Slept;
            }
        });

        Assert.False(slept);
    }

    [Fact]
    public void Asked_ADispatchWithinAnother_LeavesTheOuterOneTheTime()
    {
        long outer = DispatchCost.Begin(asksKernel: true);
        Compute(s_ms);
        DispatchCost.End(DispatchCost.Begin(asksKernel: true), limit: 0);
        Compute(s_ms);

        Assert.InRange(DispatchCost.End(outer, limit: 0).Ticks, 2 * s_ms, long.MaxValue);
    }

    private static void Compute(long ticks)
    {
        for (long began = Stopwatch.GetTimestamp(); Stopwatch.GetTimestamp() - began < ticks;)
        {
        }
    }
}
