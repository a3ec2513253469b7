using System.Globalization;
using RandomEnds.Plans;
using RandomEnds.Transports;

namespace RandomEnds;

/// <summary>Which cases are run, and how.</summary>
internal sealed record CampaignOptions
{
    public int Cases { get; init; } = 10_000;

    public int Seed { get; init; } = Random.Shared.Next();

    /// <summary>The first case's number.</summary>
    public int First { get; init; }

    /// <summary>What they run over. Without Sockets nothing is compared, and the rules alone decide.</summary>
    public IReadOnlyList<Subject> Subjects { get; init; } = Enum.GetValues<Subject>();

    /// <summary>Cases with other ends are left out.</summary>
    public IReadOnlyList<End> Ends { get; init; } = [];

    /// <summary>From one case's number to the next one's: as many as there are scripts runs one script only.</summary>
    public int Step { get; init; } = 1;

    /// <summary>Cases that run at the same time.</summary>
    public int Lanes { get; init; } = 24;

    /// <summary>How long one case may take on one transport before it counts as stuck.</summary>
    public TimeSpan Limit { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>So many failed cases end the run: each that hangs costs <see cref="Limit"/>.</summary>
    public int MaxFailures { get; init; } = 100;

    /// <summary>Prints the plan and the transcripts also where all is well.</summary>
    public bool IsVerbose { get; init; }

    /// <exception cref="FormatException">An argument is not understood; the message says which.</exception>
    public static CampaignOptions Parse(string[] args)
    {
        var options = new CampaignOptions();
        for (int i = 0; i < args.Length; i += 2)
        {
            if (i + 1 < args.Length && args[i] == "--transport" && Enum.TryParse(args[i + 1], out Subject subject))
            {
                options = options with { Subjects = [subject] };
                continue;
            }

            if (i + 1 < args.Length && args[i] == "--end" && Enum.TryParse(args[i + 1], out End end))
            {
                options = options with { Ends = [.. options.Ends, end] };
                continue;
            }

            if (i + 1 == args.Length || !int.TryParse(args[i + 1], CultureInfo.InvariantCulture, out int value))
            {
                throw new FormatException($"{args[i]} needs a value of its kind");
            }

            options = args[i] switch
            {
                "--cases" => options with { Cases = value },
                "--seed" => options with { Seed = value },
                "--case" => options with { First = value, Cases = 1, IsVerbose = true },
                "--lanes" => options with { Lanes = value },
                "--limit" => options with { Limit = TimeSpan.FromSeconds(value) },
                "--failures" => options with { MaxFailures = value },
                _ => throw new FormatException($"{args[i]} is not understood"),
            };
        }

        return options;
    }
}
