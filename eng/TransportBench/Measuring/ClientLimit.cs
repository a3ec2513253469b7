using System.Globalization;
using TransportBench.Client;

namespace TransportBench.Measuring;

/// <summary>Says when figures are about the client and not about the server.</summary>
internal static class ClientLimit
{
    /// <summary>A client whose threads are busy for so many per cent of the time has none to spare: it is what is slow.</summary>
    public const double SaturatedPercent = 95;

    /// <summary>
    /// A lag of so many ms is always allowed. It is about what it takes to wake a thread on a processor that has gone to sleep, in a
    /// virtual machine, and hardly a difference between transports is as small.
    /// </summary>
    public const double AllowedLagMs = 0.2;

    /// <summary>So much of the measured p99 may be the client's lag: less than p99 strays from turn to turn.</summary>
    public const double AllowedShareOfP99 = 0.1;

    /// <summary>So much of what was due has to leave.</summary>
    public const double LeastSent = 0.99;

    /// <summary>
    /// Why a phase of an open loop has to be discarded, null if it hasn't. A server that is too slow is no reason: then connections
    /// aren't free, and what waits for them isn't counted as the client's lag.
    /// </summary>
    /// <param name="phase">What was measured, with <see cref="PhaseReport.Sending"/>.</param>
    /// <param name="busyPercent">How long the client's thread was running, of the phase.</param>
    public static string? Find(PhaseReport phase, double busyPercent)
    {
        SendingReport sending = phase.Sending!;
        long sent = sending.Due - sending.Unsent;
        if (sent < LeastSent * sending.Due)
        {
            return string.Create(CultureInfo.InvariantCulture, $"it sent {sent:#,0} of the {sending.Due:#,0} requests that were due");
        }

        if (busyPercent >= SaturatedPercent)
        {
            return string.Create(CultureInfo.InvariantCulture, $"its thread was busy for {busyPercent:0} % of the time");
        }

        return sending.LagP99 > Math.Max(AllowedLagMs, AllowedShareOfP99 * phase.P99)
            ? string.Create(CultureInfo.InvariantCulture, $"it sent late, p99 {sending.LagP99:0.00} ms where latency had {phase.P99:0.00} ms")
            : null;
    }
}
