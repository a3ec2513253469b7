using System.Buffers.Binary;

namespace StressTool;

internal enum Mode : byte
{
    /// <summary>The server sends back what it receives, until the client has finished.</summary>
    Echo,

    /// <summary>The server sends so many bytes and finishes.</summary>
    Source,

    /// <summary>The server receives so many bytes, answers how many, and finishes.</summary>
    Sink,
}

/// <summary>How one side cuts a connection off before its time.</summary>
internal enum Cut : byte
{
    None,
    AbortWithReason,
    AbortWithNull,
    CompleteWithError,

    /// <summary>Disposes the connection while a flush may be waiting; a raw socket is closed.</summary>
    Dispose,

    /// <summary>SO_LINGER {1,0} and close. Pipes abort with a reason instead.</summary>
    Reset,
}

[Flags]
internal enum Quirks : byte
{
    None = 0,

    /// <summary>Another thread calls CancelPendingRead and CancelPendingFlush at any time.</summary>
    Cancels = 1,

    /// <summary>Stops reading and writing for some milliseconds now and then, so that the other side blocks.</summary>
    Pauses = 2,

    /// <summary>Asks for more memory than a pool's block has.</summary>
    LargeMemory = 4,

    /// <summary>Examines without consuming.</summary>
    Hoards = 8,

    /// <summary>Uses IConnectionSocketFeature.</summary>
    UsesSocket = 16,

    /// <summary>A cut comes from another thread instead of from between two reads or writes.</summary>
    CutsFromAside = 32,

    /// <summary>Uses ReadAtLeastAsync now and then.</summary>
    ReadsAtLeast = 64,

    /// <summary>Blocks its thread for some milliseconds now and then, between any two calls.</summary>
    Blocks = 128,
}

/// <summary>What one side does.</summary>
internal readonly record struct Role(Cut Cut, long CutAt, Quirks Quirks);

/// <summary>What happens on one connection: made of a seed by the client, sent to the server in the first bytes.</summary>
internal sealed record Plan(Mode Mode, ulong Seed, long Length, Role Server, Role Client)
{
    public const int HeaderSize = 32;

    private const uint Magic = 0x5354_5253;
    private const int MaxLengthBits = 22;

    /// <summary>Nobody cuts, so everything has to arrive, and both sides have to see a clean end.</summary>
    public bool IsGraceful => Server.Cut == Cut.None && Client.Cut == Cut.None;

    /// <param name="random">What the plan is made of.</param>
    /// <param name="forSockets">
    /// Leaves out what the stock transport's Pipe does not survive: a plain read that follows a cancelled
    /// ReadAtLeastAsync still waits for that many bytes, for ever if fewer come.
    /// </param>
    public static Plan Create(Random random, bool forSockets)
    {
        long length = random.NextInt64(1L << random.Next(MaxLengthBits));
        bool graceful = random.Next(2) == 0;
        Quirks never = forSockets ? Quirks.ReadsAtLeast : Quirks.None;
        return new Plan(
            (Mode)random.Next(3),
            (ulong)random.NextInt64(),
            length,
            CreateRole(random, length, mayCut: !graceful, never),
            CreateRole(random, length, mayCut: !graceful, never));
    }

    private static Role CreateRole(Random random, long length, bool mayCut, Quirks never)
    {
        Cut cut = mayCut ? (Cut)random.Next((int)Cut.Reset + 1) : Cut.None;
        // Half of the connections have no quirk but the pace of the network.
        Quirks quirks = random.Next(2) == 0 ? Quirks.None : (Quirks)random.Next(256);
        return new Role(cut, random.NextInt64(length + 1), quirks & ~never);
    }

    public void WriteHeader(Span<byte> header)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(header, Magic);
        header[4] = (byte)Mode;
        header[5] = (byte)Server.Cut;
        header[6] = (byte)Server.Quirks;
        header[7] = (byte)Client.Cut;
        BinaryPrimitives.WriteUInt64LittleEndian(header[8..], Seed);
        BinaryPrimitives.WriteInt64LittleEndian(header[16..], Length);
        BinaryPrimitives.WriteInt64LittleEndian(header[24..], Server.CutAt);
    }

    /// <exception cref="StressFailureException">These are not the bytes that a client sends first.</exception>
    public static Plan ReadHeader(ReadOnlySpan<byte> header)
    {
        if (BinaryPrimitives.ReadUInt32LittleEndian(header) != Magic)
        {
            throw new StressFailureException("the first bytes of a connection are not a header");
        }

        return new Plan(
            (Mode)header[4],
            BinaryPrimitives.ReadUInt64LittleEndian(header[8..]),
            BinaryPrimitives.ReadInt64LittleEndian(header[16..]),
            new Role((Cut)header[5], BinaryPrimitives.ReadInt64LittleEndian(header[24..]), (Quirks)header[6]),
            new Role((Cut)header[7], 0, Quirks.None));
    }
}
