using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>Gives the host's configuration the last word on <see cref="EpollTransportOptions.Enabled"/>. Thread-safe.</summary>
/// <param name="configuration">Null: the container has none.</param>
internal sealed class ConfiguredSwitch(IConfiguration? configuration) : IPostConfigureOptions<EpollTransportOptions>
{
    private const string Key = "EpollTransport:Enabled";

    public void PostConfigure(string? name, EpollTransportOptions options)
    {
        if (configuration?[Key] is not { Length: > 0 } text)
        {
            return;
        }

        if (!bool.TryParse(text, out bool isEnabled))
        {
            throw new OptionsValidationException(Options.DefaultName, typeof(EpollTransportOptions), [$"{Key} is '{text}' and must be true or false"]);
        }

        options.Enabled = isEnabled;
        if (!isEnabled)
        {
            options.WhoDisabled = $"the configuration has {Key}={text}";
        }
    }
}
