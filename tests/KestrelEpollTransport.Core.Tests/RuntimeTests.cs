using System.Globalization;

namespace KestrelEpollTransport.Tests;

/// <summary>
/// On which runtime the tests run: a run that is meant for another one than .NET 10 says so in EXPECTED_DOTNET, and must not
/// pass because the runtime wasn't found. Part of each test project.
/// </summary>
public sealed class RuntimeTests
{
    [Fact]
    public void Runtime_OfTheTests_IsTheOneThatIsMeant()
    {
        string meant = Environment.GetEnvironmentVariable("EXPECTED_DOTNET") ?? "10";

        Assert.Equal(meant, Environment.Version.Major.ToString(CultureInfo.InvariantCulture));
    }
}
