using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;
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

        (long cost, DispatchUse use) = DispatchCost.End(began, limit: 0);
        Assert.InRange(cost, 19 * s_ms, long.MaxValue);
        Assert.Equal(DispatchUse.Slept, use);
    }

    [Fact]
    public void Asked_WhoBlocksWhileTheCollectorRuns_StillSlept()
    {
        long began = DispatchCost.Begin(asksKernel: true);
        GC.Collect(0);
        Thread.Sleep(20);

        (_, DispatchUse use) = DispatchCost.End(began, limit: s_ms);
        Assert.Equal(DispatchUse.Slept, use);
    }

    [Fact]
    public void Asked_WhoWaitsForLessThanTheLimit_CostsWhatItComputes()
    {
        // One turn is proof enough: in another the machine may have kept the thread waiting for longer.
        (long cost, DispatchUse use) = (0, DispatchUse.Unknown);
        for (int turn = 0; turn < 10 && use != DispatchUse.Computed; turn++)
        {
            long began = DispatchCost.Begin(asksKernel: true);
            Thread.Sleep(5);
            Compute(30 * s_ms);
            (cost, use) = DispatchCost.End(began, limit: 20 * s_ms);
        }

        Assert.Equal(DispatchUse.Computed, use);
        Assert.InRange(cost, 10 * s_ms, 31 * s_ms);
    }

    [Fact]
    public void Asked_WhoComputes_CostsWhatItComputes()
    {
        ThreadUsage before = ThreadUsage.OfThisThread()!.Value;
        long began = DispatchCost.Begin(asksKernel: true);
        while (ThreadUsage.OfThisThread()!.Value.ProcessorTicks - before.ProcessorTicks < 10 * s_ms)
        {
            Compute(s_ms);
        }

        Assert.InRange(DispatchCost.End(began, limit: 0).Ticks, 9 * s_ms, long.MaxValue);
    }

    [Fact]
    public void Asked_WhoWaitsForAProcessor_DoesNotPayForIt()
    {
        // One turn is proof enough: in another the collector may have stopped the thread, which counts as waiting.
        double best = double.MaxValue;
        BusyProcessor.Run(() =>
        {
            for (int turn = 0; turn < 10; turn++)
            {
                long began = DispatchCost.Begin(asksKernel: true);
                Compute(40 * s_ms);
                double cost = DispatchCost.End(began, limit: 0).Ticks;
                best = Math.Min(best, cost / (Stopwatch.GetTimestamp() - began));
            }
        });

        Assert.InRange(best, double.Epsilon, 0.75);
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

    [Fact]
    public void ConnectionThatIsCheap_WhereProcessorsAreBusy_ComesBackToTheLoop()
    {
        // Each dispatch computes less than the limit, and takes longer because another thread has the processor in between.
        const int LimitMs = 5;
        DispatchProfile profile = new(new DispatchHistory(TimeSpan.FromMilliseconds(LimitMs), new SchedulingCounters(1)));
        profile.Begin();
        for (int i = 0; i < 3; i++)
        {
            profile.Note(isDear: true, isDearStart: true);
        }

        int dispatches = 0;
        BusyProcessor.Run(() =>
        {
            for (; dispatches < 500 && !profile.RunsInline; dispatches++)
            {
                long began = profile.Begin();
                long before = ThreadUsage.OfThisThread()!.Value.ProcessorTicks;
                while (ThreadUsage.OfThisThread()!.Value.ProcessorTicks - before < (LimitMs - 1) * s_ms)
                {
                }

                profile.End(began, 1);
            }
        });

        Assert.InRange(dispatches, 96, 499);
    }

    private static void Compute(long ticks)
    {
        for (long began = Stopwatch.GetTimestamp(); Stopwatch.GetTimestamp() - began < ticks;)
        {
        }
    }
}
