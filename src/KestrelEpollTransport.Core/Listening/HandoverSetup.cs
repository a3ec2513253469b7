using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.Listening;

/// <summary>Gives the transport the <see cref="ListenerHandover"/> of its container.</summary>
internal sealed class HandoverSetup(ListenerHandover handover) : IConfigureOptions<EpollTransportOptions>
{
    public void Configure(EpollTransportOptions options) => options.Handover = handover;
}
