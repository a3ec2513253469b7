namespace RandomEnds.Plans;

/// <summary>Makes the plan of a case of a seed and its number.</summary>
internal static class Planner
{
    public static readonly int Scripts = Enum.GetValues<Script>().Length;
    private static readonly int s_ends = Enum.GetValues<End>().Length;
    private static readonly int s_reactions = Enum.GetValues<Reaction>().Length;
    private static readonly int s_styles = Enum.GetValues<ReadingStyle>().Length;

    public static CasePlan Create(int seed, int number)
    {
        var random = new Random(unchecked(seed * 1_000_003 + number));
        var script = (Script)(number % Scripts);
        List<Step> steps = ScriptMaker.Make(script, random);
        int cut = random.Next(steps.Count + 1);
        return new CasePlan(
            seed,
            number,
            script,
            (Family)(number / Scripts % 2),
            (End)(number / Scripts / 2 % s_ends),
            (Reaction)random.Next(s_reactions),
            (ReadingStyle)random.Next(s_styles),
            ReadsBefore: random.Next(2) == 0,
            Settles: random.Next(2) == 0,
            MayWriteOn: random.Next(2) == 0,
            Start: random.Next(Pattern.MaxStart),
            Before: steps.GetRange(0, cut));
    }
}
