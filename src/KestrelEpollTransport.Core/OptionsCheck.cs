using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>Checks options of a container whenever they are made. Thread-safe.</summary>
internal sealed class OptionsCheck<TOptions>(Func<TOptions, OptionErrors> findErrors) : IValidateOptions<TOptions>
    where TOptions : class
{
    public ValidateOptionsResult Validate(string? name, TOptions options)
    {
        OptionErrors errors = findErrors(options);
        return errors.Messages.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors.Messages);
    }
}

internal static class OptionsChecks
{
    /// <summary>Has the options checked when the host starts, and wherever they are made. More than once is once.</summary>
    public static void AddOptionsCheck<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicParameterlessConstructor)] TOptions>(
        this IServiceCollection services, Func<TOptions, OptionErrors> findErrors)
        where TOptions : class
    {
        services.AddOptions<TOptions>().ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<TOptions>>(new OptionsCheck<TOptions>(findErrors)));
    }
}
