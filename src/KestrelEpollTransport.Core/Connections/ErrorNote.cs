namespace KestrelEpollTransport.Connections;

/// <summary>A socket's error that was noted in the lifetime of its connection, and what that changed.</summary>
/// <param name="Exception">What the error is to the application.</param>
/// <param name="Before">The lifetime before it.</param>
/// <param name="Added">What it added.</param>
internal readonly record struct ErrorNote(Exception? Exception, LifetimeState Before, LifetimeState Added)
{
    public bool Exists => Exception is not null;
}
