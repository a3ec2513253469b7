using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>Options of <c>UseLoadShedding()</c>. They are read, and checked, once: when the pipeline is built.</summary>
public sealed class LoadSheddingOptions
{
    private static readonly TimeSpan s_minTarget = TimeSpan.FromMicroseconds(100);
    private static readonly TimeSpan s_minInterval = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan s_minRetryAfter = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_max = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan s_maxRetryAfter = TimeSpan.FromDays(1);

    /// <summary>
    /// The server is overloaded when all that comes has waited longer than this for an <see cref="Interval"/>. While it is, what has waited longer
    /// than half of this is mostly refused, and longer than all of it always; than more, up to 16 and 32 times this, where threads would idle
    /// otherwise. Default: 5 ms, the target of CoDel
    /// (RFC 8289, section 4.3). Limits: 100 µs to 1 minute.
    /// </summary>
    public TimeSpan Target { get; set; } = TimeSpan.FromMilliseconds(5);

    /// <summary>
    /// How long the least delay has to be above <see cref="Target"/>, so that a burst is served; and how soon a queue that has drained is taken for
    /// drained. Default: 100 ms, the interval of CoDel (RFC 8289, section 4.2). Limits: 10 ms to 1 minute.
    /// </summary>
    public TimeSpan Interval { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// What the answer's Retry-After says (RFC 9110, section 10.2.3), in whole seconds, rounded up. Default: 1 second. Limits: 1 second to 1 day.
    /// </summary>
    public TimeSpan RetryAfter { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Whether a request is served whatever happens, such as a health check. It is asked where the request would be refused, and so has to be
    /// quick, and must not throw; of several requests at a time. Default: <see langword="null"/>: only endpoints that are exempt themselves
    /// (<see cref="ExemptFromLoadSheddingAttribute"/>), where routing comes first.
    /// </summary>
    public Func<HttpContext, bool>? Exempt { get; set; }

    /// <exception cref="OptionsValidationException">Values are outside their limits; it names each of them.</exception>
    internal void Validate() => FindErrors().ThrowIfAny(typeof(LoadSheddingOptions));

    internal OptionErrors FindErrors()
    {
        OptionErrors errors = new(nameof(LoadSheddingOptions));
        errors.Require(Target >= s_minTarget && Target <= s_max, nameof(Target), Target, "must be from 100 µs to 1 minute");
        errors.Require(Interval >= s_minInterval && Interval <= s_max, nameof(Interval), Interval, "must be from 10 ms to 1 minute");
        errors.Require(RetryAfter >= s_minRetryAfter && RetryAfter <= s_maxRetryAfter, nameof(RetryAfter), RetryAfter, "must be from 1 second to 1 day");
        return errors;
    }
}
