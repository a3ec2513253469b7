namespace RandomEnds.Plans;

/// <summary>
/// Writes the scripts. A step waits only for what steps before it have brought about, so a script never blocks:
/// at most one large transfer a direction is under way, and what else is not received fits into a kernel's buffer.
/// </summary>
internal static class ScriptMaker
{
    private const int SmallMessage = 3_000;

    public static List<Step> Make(Script script, Random random)
    {
        List<Step> steps = [];
        switch (script)
        {
            case Script.Request:
                for (int rounds = random.Next(1, 5); rounds > 0; rounds--)
                {
                    AddRound(steps, random);
                }

                break;
            case Script.Upload:
                AddUpload(steps, random, Size(random, 300_000));
                AddUpload(steps, random, Size(random, 300_000));
                break;
            case Script.Download:
                AddRound(steps, random);
                AddDownload(steps, random, random.Next(8) == 0 ? Limits.LargeFlush : Size(random, 200_000));
                break;
            case Script.Upgrade:
                AddRound(steps, random);
                AddBothWays(steps, random);
                break;
            default:
                AddPipeline(steps, random);
                break;
        }

        return steps;
    }

    private static void AddRound(List<Step> steps, Random random)
    {
        int request = Size(random, SmallMessage);
        int first = random.Next(2) == 0 ? request : random.Next(request);
        int answer = Size(random, SmallMessage);
        steps.Add(new(StepKind.ClientSends, request));
        Add(steps, StepKind.ApplicationReads, first);
        Add(steps, StepKind.ApplicationReads, request - first);
        steps.Add(new(StepKind.ApplicationFlushes, answer));
        steps.Add(new(StepKind.ClientReceives, answer));
    }

    private static void AddUpload(List<Step> steps, Random random, int size)
    {
        steps.Add(new(StepKind.ClientSends, size));
        foreach (int part in Parts(random, size))
        {
            Add(steps, StepKind.ApplicationReads, part);
            if (random.Next(4) == 0)
            {
                steps.Add(new(StepKind.ApplicationPauses, 0));
            }
        }

        const int Receipt = 8;
        steps.Add(new(StepKind.ApplicationFlushes, Receipt));
        steps.Add(new(StepKind.ClientReceives, Receipt));
    }

    private static void AddDownload(List<Step> steps, Random random, int size)
    {
        steps.Add(new(StepKind.ApplicationFlushes, size));
        foreach (int part in Parts(random, size))
        {
            Add(steps, StepKind.ClientReceives, part);
        }
    }

    private static void AddBothWays(List<Step> steps, Random random)
    {
        int up = Size(random, 200_000);
        int down = random.Next(8) == 0 ? Limits.LargeFlush : Size(random, 200_000);
        steps.Add(new(StepKind.ClientSends, up));
        steps.Add(new(StepKind.ApplicationFlushes, down));
        int[] ups = Parts(random, up);
        int[] downs = Parts(random, down);
        for (int i = 0; i < Math.Max(ups.Length, downs.Length); i++)
        {
            Add(steps, StepKind.ApplicationReads, i < ups.Length ? ups[i] : 0);
            Add(steps, StepKind.ClientReceives, i < downs.Length ? downs[i] : 0);
        }
    }

    private static void AddPipeline(List<Step> steps, Random random)
    {
        int count = random.Next(2, 17);
        int request = random.Next(1, 200);
        int answer = random.Next(1, 200);
        int unanswered = 0;
        steps.Add(new(StepKind.ClientSends, count * request));
        for (int i = 0; i < count; i++)
        {
            steps.Add(new(StepKind.ApplicationReads, request));
            steps.Add(new(StepKind.ApplicationFlushes, answer));
            unanswered += answer;
            if (random.Next(3) == 0)
            {
                steps.Add(new(StepKind.ClientReceives, unanswered));
                unanswered = 0;
            }
        }

        Add(steps, StepKind.ClientReceives, unanswered);
    }

    private static void Add(List<Step> steps, StepKind kind, int bytes)
    {
        if (bytes > 0)
        {
            steps.Add(new(kind, bytes));
        }
    }

    /// <summary>Small more often than large, and never nothing.</summary>
    private static int Size(Random random, int largest) => 1 + (int)(largest * Math.Pow(random.NextDouble(), 2));

    /// <summary>Up to five random parts that are <paramref name="size"/> together.</summary>
    private static int[] Parts(Random random, int size)
    {
        int[] ends = [.. Enumerable.Range(0, random.Next(5)).Select(_ => random.Next(size)).Order(), size];
        return [.. ends.Select((end, i) => end - (i == 0 ? 0 : ends[i - 1]))];
    }
}
