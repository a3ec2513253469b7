using System.Text;

namespace KestrelEpollTransport.Tests;

/// <summary>
/// One atomic step of an actor. An actor names a step with <c>yield return</c> and does it in the code from there to
/// the next <c>yield return</c>; what stands before the first one touches nothing shared.
/// </summary>
/// <param name="Name">For the schedule of a failure.</param>
/// <param name="CanRun">Null: always. False while the actor would wait in this place.</param>
/// <param name="MayStay">Waiting here when all others have ended is a legal end, as a thread that sleeps for want of work.</param>
internal readonly record struct Step(string Name, Func<bool>? CanRun = null, bool MayStay = false)
{
    public static implicit operator Step(string name) => new(name);
}

internal sealed record Actor<TState>(string Name, Func<TState, IEnumerable<Step>> Run);

/// <summary>What went wrong, and the schedule that led to it.</summary>
internal sealed class InterleavingException(string schedule, Exception inner)
    : Exception($"{inner.Message}{Environment.NewLine}Schedule:{Environment.NewLine}{schedule}", inner);

/// <summary>
/// Runs every merge of the steps of a few actors over a fresh state each: depth first, by running the same choices
/// again up to the last one that has an alternative. Of merges that meet in one <see cref="Fingerprint"/> only the first goes on,
/// where that is asked for: what can follow is the same.
/// </summary>
internal static class Interleavings
{
    // A retry loop that never ends shows as an endless schedule; and a scenario that grew out of hand as too many.
    private const int MaxSteps = 500;
    private const int MaxSchedules = 3_000_000;

    /// <summary>Returns how many schedules there are.</summary>
    /// <exception cref="InterleavingException">An actor or <paramref name="check"/> threw, or the actors wait for each other.</exception>
    public static int Explore<TState>(Func<TState> create, Action<TState> check, params Actor<TState>[] actors) =>
        Explore(create, check, seen: null, actors);

    /// <summary>
    /// The same for a state of numbers and flags, which is told by them and by where the actors are. Returns how many different
    /// states there are.
    /// </summary>
    public static int ExploreStates<TState>(Func<TState> create, Action<TState> check, params Actor<TState>[] actors)
    {
        HashSet<string> seen = [];
        Explore(create, check, seen, actors);
        return seen.Count;
    }

    private static int Explore<TState>(Func<TState> create, Action<TState> check, HashSet<string>? seen, Actor<TState>[] actors)
    {
        List<(int Chosen, int Enabled)> choices = [];
        for (int count = 1; ; count++)
        {
            RunOne(create(), check, seen, actors, choices);
            while (choices.Count > 0 && choices[^1].Chosen + 1 == choices[^1].Enabled)
            {
                choices.RemoveAt(choices.Count - 1);
            }

            if (choices.Count == 0)
            {
                return count;
            }

            choices[^1] = (choices[^1].Chosen + 1, choices[^1].Enabled);
            Assert.True(count < MaxSchedules, $"More than {MaxSchedules} schedules: make the scenario smaller.");
        }
    }

    private static void RunOne<TState>(
        TState state, Action<TState> check, HashSet<string>? seen, Actor<TState>[] actors, List<(int Chosen, int Enabled)> choices)
    {
        IEnumerator<Step>?[] running = new IEnumerator<Step>?[actors.Length];
        List<(int Actor, string Step)> schedule = [];
        try
        {
            for (int i = 0; i < actors.Length; i++)
            {
                IEnumerator<Step> actor = actors[i].Run(state).GetEnumerator();
                running[i] = actor.MoveNext() ? actor : null;
            }

            while (true)
            {
                if (schedule.Count == choices.Count && seen?.Add(Fingerprint.Of(state, running)) == false)
                {
                    return;
                }

                if (!TryChoose(running, choices, schedule.Count, out int chosen))
                {
                    break;
                }

                IEnumerator<Step> actor = running[chosen]!;
                schedule.Add((chosen, actor.Current.Name));
                if (!actor.MoveNext())
                {
                    running[chosen] = null;
                }

                Assert.True(schedule.Count < MaxSteps, "The actors go round for ever.");
            }

            Assert.DoesNotContain(running, actor => actor is { Current.MayStay: false });
            check(state);
        }
        catch (Exception exception) when (exception is not InterleavingException)
        {
            StringBuilder text = new();
            foreach ((int actor, string step) in schedule)
            {
                text.Append("  ").Append(actors[actor].Name).Append(": ").AppendLine(step);
            }

            throw new InterleavingException(text.ToString(), exception);
        }
    }

    private static bool TryChoose(IEnumerator<Step>?[] running, List<(int Chosen, int Enabled)> choices, int depth, out int chosen)
    {
        Span<int> enabled = stackalloc int[running.Length];
        int count = 0;
        for (int i = 0; i < running.Length; i++)
        {
            if (running[i] is { } actor && actor.Current.CanRun?.Invoke() != false)
            {
                enabled[count++] = i;
            }
        }

        if (count == 0)
        {
            chosen = -1;
            return false;
        }

        if (depth == choices.Count)
        {
            choices.Add((0, count));
        }

        chosen = enabled[choices[depth].Chosen];
        return true;
    }
}
