using System.Diagnostics;

namespace TransportBench.Running;

/// <summary>Says on standard error what is being done, and how long everything will still take.</summary>
/// <param name="totalSeconds">What the whole run is expected to take.</param>
internal sealed class Progress(double totalSeconds)
{
    private readonly long _start = Stopwatch.GetTimestamp();

    /// <summary>What is done, in seconds that it was expected to take.</summary>
    public double Done { get; private set; }

    /// <summary>Counts work as done, in seconds that it was expected to take.</summary>
    public void Complete(double expectedSeconds) => Done += expectedSeconds;

    public void Say(string what)
    {
        string line = $"{what}, {Remaining()} left";
        if (Console.IsErrorRedirected)
        {
            Console.Error.WriteLine(line);
            return;
        }

        int width = Math.Max(20, Console.WindowWidth - 1);
        Console.Error.Write($"\r{(line.Length > width ? line[..width] : line.PadRight(width))}");
    }

    /// <summary>Makes room for a table.</summary>
    public static void Clear()
    {
        if (!Console.IsErrorRedirected)
        {
            Console.Error.Write($"\r{new string(' ', Math.Max(20, Console.WindowWidth - 1))}\r");
        }
    }

    // What was done so far tells by how much the expectations are wrong.
    private string Remaining()
    {
        double elapsed = Stopwatch.GetElapsedTime(_start).TotalSeconds;
        double pace = Done > 0 ? elapsed / Done : 1;
        TimeSpan left = TimeSpan.FromSeconds(Math.Max(0, (totalSeconds - Done) * pace));
        return left.TotalMinutes >= 1 ? $"about {left.TotalMinutes:0} min" : $"about {left.TotalSeconds:0} s";
    }
}
