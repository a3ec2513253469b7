using System.Net.Sockets;

namespace KestrelEpollTransport.Native;

/// <summary>On which sockets an option has to be set, and when.</summary>
[Flags]
internal enum SettingPlaces
{
    None = 0,

    /// <summary>On a socket that is to listen, before bind(2).</summary>
    BeforeBind = 1,

    /// <summary>On a socket that is to listen, before listen(2); what can be inherited then is by those that are accepted.</summary>
    Listener = 2,

    /// <summary>On each accepted socket.</summary>
    Accepted = 4,

    /// <summary>On a socket that is to connect, before connect(2).</summary>
    Client = 8,
}

/// <summary>An option of the kernel's, and the value that the transport's options give it. Immutable.</summary>
/// <param name="Option">The option.</param>
/// <param name="Property">Its name among the transport's options.</param>
/// <param name="Value">Its value, in the kernel's unit; not used where <paramref name="Text"/> is.</param>
/// <param name="Tcp">Where it is set on TCP sockets.</param>
/// <param name="Unix">Where it is set on unix sockets.</param>
/// <param name="Text">The value of an option that is a string.</param>
internal sealed record KernelSetting(
    KernelOption Option, string Property, int Value, SettingPlaces Tcp, SettingPlaces Unix = SettingPlaces.None, string? Text = null)
{
    /// <summary>Whether a socket of <paramref name="family"/> has it set in <paramref name="place"/>.</summary>
    public bool IsFor(AddressFamily family, SettingPlaces place) => (place & family switch
    {
        AddressFamily.InterNetworkV6 => Tcp,
        AddressFamily.InterNetwork when Option != KernelOption.IPV6_TCLASS => Tcp,
        AddressFamily.Unix => Unix,
        _ => SettingPlaces.None,
    }) != 0;

    public IoResult SetOn(int descriptor) =>
        Text is null ? SystemCalls.SetOption(descriptor, Option, Value) : SystemCalls.SetOption(descriptor, Option, Text);
}
