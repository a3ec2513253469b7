using System.IO.Pipelines;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>A duplex pipe as a connection middleware would put in place of the transport's.</summary>
internal sealed class OwnDuplexPipe(PipeReader input, PipeWriter output) : IDuplexPipe
{
    public PipeReader Input { get; } = input;

    public PipeWriter Output { get; } = output;
}
