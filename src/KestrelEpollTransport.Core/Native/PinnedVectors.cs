using System.Buffers;
using System.Runtime.CompilerServices;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Native;

/// <summary>
/// The memory of one system call, pinned for its length: pools of the application need not pin theirs. For the thread that
/// makes the call; to be disposed of.
/// </summary>
internal unsafe ref struct PinnedVectors
{
    private readonly IoVector* _vectors;
    private HandleList _handles;

    /// <param name="vectors">Room for <see cref="IoVector.MaxCount"/>, on the caller's stack.</param>
    public PinnedVectors(IoVector* vectors) => _vectors = vectors;

    public int Count { get; private set; }

    public void Add(Memory<byte> memory)
    {
        _handles[Count] = Uninterrupted.Call(memory, static memory => memory.Pin());
        _vectors[Count].Base = (byte*)_handles[Count].Pointer;
        _vectors[Count].Length = (nuint)memory.Length;
        Count++;
    }

    public void Dispose()
    {
        for (int i = 0; i < Count; i++)
        {
            try
            {
                _handles[i].Dispose();
            }
#pragma warning disable CA1031 // A pool of the application that does not unpin: what the call has returned must not be lost with it.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                Uninterrupted.RaiseAgain(exception is ThreadInterruptedException);
            }
        }
    }

    [InlineArray(IoVector.MaxCount)]
    private struct HandleList
    {
        private MemoryHandle _element;
    }
}
