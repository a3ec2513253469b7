namespace RandomEnds.Plans;

/// <summary>Sizes that the plans, the transports' options and the rules agree on, in bytes.</summary>
internal static class Limits
{
    /// <summary>The option of both transports. Below what a kernel holds for one connection, so that plans can pass it.</summary>
    public const int MaxReadBufferSize = 64 * 1024;

    /// <summary>The option of both transports.</summary>
    public const int MaxWriteBufferSize = 64 * 1024;

    /// <summary>
    /// Received ahead without the application's reading. Once Sockets has reached its limit, it goes on only below half
    /// of it; a block of slack from that.
    /// </summary>
    public const int SurelyAhead = 28 * 1024;

    /// <summary>Blocks that a transport may have received beyond its limit when it stops.</summary>
    public const int Slack = 16 * 1024;

    /// <summary>Fixed, so that a flush larger than both and <see cref="MaxWriteBufferSize"/> waits for the client.</summary>
    public const int ServerSendBuffer = 64 * 1024;

    /// <inheritdoc cref="ServerSendBuffer"/>
    public const int ClientReceiveBuffer = 128 * 1024;

    /// <summary>A flush of so much waits: more than the kernels' buffers, each twice what was asked, and the option's.</summary>
    public const int SurelyPending = 512 * 1024;

    /// <summary>A flush that is pending until the client receives.</summary>
    public const int LargeFlush = 700 * 1024;
}
