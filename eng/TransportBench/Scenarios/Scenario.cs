using TransportBench.Measuring;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>One thing to compare transports by.</summary>
/// <param name="Name">As on the command line and in the results.</param>
/// <param name="Title">As in tables.</param>
internal abstract record Scenario(string Name, string Title)
{
    /// <summary>How its servers run.</summary>
    public ServerSettings Settings { get; init; } = ServerSettings.Pinned;

    /// <summary>All figures that its turns yield, in the order of the table.</summary>
    public abstract IReadOnlyList<Figure> Figures { get; }

    /// <summary>Those that are compared with Sockets: few, and what the scenario is about.</summary>
    public abstract IReadOnlyList<Figure> Headlines { get; }

    /// <summary>
    /// Whether each turn has a server of its own, because a turn leaves its server in another state than it found it
    /// in: a thread pool that has grown.
    /// </summary>
    public virtual bool NeedsFreshServer => false;

    /// <summary>Whether its servers are asked before turns count.</summary>
    public virtual bool WarmsUp => true;

    /// <summary>Whether <see cref="Calibrate"/> has nothing to do.</summary>
    public virtual bool IsCalibrated => true;

    /// <summary>Whether a turn may have to be discarded: <see cref="Sample.ClientLimit"/>.</summary>
    public virtual bool DiscardsTurns => false;

    /// <summary>What a reader has to know of a run, besides the figures: sentences without the full stop.</summary>
    public virtual IReadOnlyList<string> Notes => [];

    /// <summary>How many rounds there are where so many are asked for: what takes long and strays little has fewer.</summary>
    public virtual int RoundsOf(int asked) => asked;

    /// <summary>Whether the transport can take part.</summary>
    public virtual bool Includes(Transport transport) => transport != Transport.Floor;

    /// <summary>About how long a turn takes.</summary>
    public virtual double SecondsOfTurn(double seconds) => seconds;

    /// <summary>This scenario as it has to be on this machine, found out with a server of Sockets that is warm.</summary>
    public virtual Scenario Calibrate(ServerProcess sockets, double seconds) => this;

    /// <summary>Asks the server and returns the figures.</summary>
    /// <exception cref="Processes.LoadFailedException">The load failed, or an answer was wrong.</exception>
    public abstract Sample Run(ServerProcess server, double seconds);

    /// <summary>Makes the server compile what a turn needs; returns what tells whether that is done.</summary>
    public virtual double WarmUp(ServerProcess server, double seconds) => Run(server, seconds)[Measuring.Figures.ProcessorTime];
}
