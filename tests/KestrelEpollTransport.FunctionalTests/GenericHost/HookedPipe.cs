using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests.GenericHost;

/// <summary>What a middleware may put in front of a connection: its pipes, and what is to happen before a call goes on.</summary>
internal sealed class HookedPipe : IDuplexPipe
{
    private HookedPipe(IDuplexPipe inner)
    {
        Input = new Reader(inner.Input, this);
        Output = new Writer(inner.Output, this);
    }

    public PipeReader Input { get; }

    public PipeWriter Output { get; }

    public Action? OnRead { get; set; }

    public Action? OnAdvance { get; set; }

    public Action? OnFlush { get; set; }

    /// <summary>Adds it to an endpoint; <paramref name="use"/> is given that of each connection.</summary>
    public static IConnectionBuilder AddTo(IConnectionBuilder connections, Action<HookedPipe> use) => connections.Use(next => connection =>
    {
        var pipe = new HookedPipe(connection.Transport);
        connection.Transport = pipe;
        use(pipe);
        return next(connection);
    });

    private sealed class Reader(PipeReader inner, HookedPipe pipe) : PipeReader
    {
        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
        {
            pipe.OnRead?.Invoke();
            return inner.ReadAsync(cancellationToken);
        }

        public override bool TryRead(out ReadResult result) => inner.TryRead(out result);

        public override void AdvanceTo(SequencePosition consumed) => inner.AdvanceTo(consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => inner.AdvanceTo(consumed, examined);

        public override void CancelPendingRead() => inner.CancelPendingRead();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);
    }

    private sealed class Writer(PipeWriter inner, HookedPipe pipe) : PipeWriter
    {
        public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);

        public override void Advance(int bytes)
        {
            pipe.OnAdvance?.Invoke();
            inner.Advance(bytes);
        }

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            pipe.OnFlush?.Invoke();
            return inner.FlushAsync(cancellationToken);
        }

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);
    }
}
