namespace KestrelEpollTransport.Polling;

/// <summary>
/// Identifies a registration: a slot in a loop's table, and a generation that tells the slot's present user
/// from its former ones. An event that was on its way when its registration ended carries an old generation.
/// </summary>
/// <param name="Value">The 64 bits that the kernel keeps for us.</param>
internal readonly record struct Token(ulong Value)
{
    /// <summary>Never given to a registration: an event with it interrupts a wait and means nothing else.</summary>
    public static readonly Token Wake = new(ulong.MaxValue);

    public Token(int slot, uint generation)
        : this(((ulong)generation << 32) | (uint)slot)
    {
    }

    public int Slot => (int)(uint)Value;

    public uint Generation => (uint)(Value >> 32);
}
