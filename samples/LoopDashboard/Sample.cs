namespace LoopDashboard;

/// <summary>What happened since the sample before, and what is now. Times of the page are in seconds, delays in microseconds.</summary>
/// <param name="Time">Since the program began.</param>
/// <param name="Busy">The part of the time that each loop was busy, 0 to 1.</param>
/// <param name="Connections">How many each loop has.</param>
/// <param name="DelayMedian">Of what came, half waited no longer for a thread. Null: nothing came.</param>
/// <param name="DelayP99">And 99 of 100.</param>
/// <param name="OnLoops">Dispatches a second on threads of loops.</param>
/// <param name="OffLoops">On workers, and on the thread pool.</param>
/// <param name="EventsPerWait">How much a wait told.</param>
/// <param name="HandOffs">Loops that were handed off, a second.</param>
/// <param name="Demotions">Connections that left their loop because they block, a second.</param>
/// <param name="Workers">Threads.</param>
/// <param name="BusyWorkers">Those that run what blocks.</param>
/// <param name="Received">Bytes a second.</param>
/// <param name="Sent">Bytes a second.</param>
internal sealed record Sample(
    double Time,
    double[] Busy,
    double[] Connections,
    double? DelayMedian,
    double? DelayP99,
    double OnLoops,
    double OffLoops,
    double EventsPerWait,
    double HandOffs,
    double Demotions,
    double Workers,
    double BusyWorkers,
    double Received,
    double Sent);
