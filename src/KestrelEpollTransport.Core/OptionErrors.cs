using System.Globalization;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>What is wrong with the values of options: all of it, so that nobody has to start a server once for each mistake. For one thread.</summary>
/// <param name="owner">What stands before the name of an option.</param>
internal sealed class OptionErrors(string owner)
{
    private readonly List<string> _messages = [];

    /// <summary>One for each value that is outside its limits. Without a full stop: the exception puts semicolons between them.</summary>
    public IReadOnlyList<string> Messages => _messages;

    public void Require(bool holds, string option, object? value, string rule)
    {
        if (!holds)
        {
            _messages.Add(string.Create(CultureInfo.InvariantCulture, $"{owner}.{option} is {value switch { null => "null", string text => $"'{text}'", _ => value }} and {rule}"));
        }
    }

    public void Add(OptionErrors others) => _messages.AddRange(others._messages);

    /// <exception cref="OptionsValidationException">There is an error; it has all of them.</exception>
    public void ThrowIfAny(Type options)
    {
        if (_messages.Count != 0)
        {
            throw new OptionsValidationException(Options.DefaultName, options, _messages);
        }
    }
}
