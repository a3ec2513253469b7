using System.Buffers;
using System.Runtime.CompilerServices;

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
        _handles[Count] = memory.Pin();
        _vectors[Count].Base = (byte*)_handles[Count].Pointer;
        _vectors[Count].Length = (nuint)memory.Length;
        Count++;
    }

    public void Dispose()
    {
        for (int i = 0; i < Count; i++)
        {
            _handles[i].Dispose();
        }
    }

    [InlineArray(IoVector.MaxCount)]
    private struct HandleList
    {
        private MemoryHandle _element;
    }
}
