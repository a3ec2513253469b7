using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.ProxyProtocol;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests.ProxyProtocol;

/// <summary>Whom the options trust, and which values they refuse.</summary>
public class ProxyProtocolOptionsTests
{
    [Theory]
    [InlineData("192.0.2.9", true)]
    [InlineData("::ffff:192.0.2.9", true)]
    [InlineData("192.0.3.9", false)]
    [InlineData("::ffff:192.0.3.9", false)]
    [InlineData("198.51.100.1", true)]
    [InlineData("198.51.100.2", false)]
    [InlineData("2001:db8::1", true)]
    [InlineData("2001:db9::1", false)]
    [InlineData("fe80::1%3", true)]
    [InlineData("127.0.0.1", false)]
    [InlineData("::1", false)]
    public void TrustedNetworks_Contain_WhatTheySay(string address, bool isTrusted)
    {
        var options = new ProxyProtocolOptions();
        options.TrustedNetworks.Add(IPNetwork.Parse("192.0.2.0/24"));
        options.TrustedNetworks.Add(new IPNetwork(IPAddress.Parse("::ffff:198.51.100.1"), 128));
        options.TrustedNetworks.Add(IPNetwork.Parse("2001:db8::/32"));
        options.TrustedNetworks.Add(IPNetwork.Parse("fe80::/10"));

        Assert.Equal(isTrusted, new TrustedSources(options).Contains(new IPEndPoint(IPAddress.Parse(address), 1)));
    }

    [Fact]
    public void TrustedNetworks_OfAllIPv6Addresses_ContainNoIPv4Address()
    {
        var options = new ProxyProtocolOptions();
        options.TrustedNetworks.Add(IPNetwork.Parse("::/0"));
        var trusted = new TrustedSources(options);

        Assert.True(trusted.Contains(new IPEndPoint(IPAddress.IPv6Loopback, 1)));
        Assert.False(trusted.Contains(new IPEndPoint(IPAddress.Parse("::ffff:192.0.2.1"), 1)));
    }

    [Fact]
    public void Sources_ThatAreNoNetworkAddresses_AreTrustedOnlyAsUnixSockets()
    {
        var all = new ProxyProtocolOptions();
        all.TrustedNetworks.Add(IPNetwork.Parse("0.0.0.0/0"));
        all.TrustedNetworks.Add(IPNetwork.Parse("::/0"));
        var unix = new UnixDomainSocketEndPoint("/tmp/x");

        Assert.False(new TrustedSources(all).Contains(unix));
        Assert.False(new TrustedSources(all).Contains(null));
        Assert.True(new TrustedSources(new ProxyProtocolOptions { TrustUnixSockets = true }).Contains(unix));
        Assert.False(new TrustedSources(new ProxyProtocolOptions { TrustUnixSockets = true }).Contains(null));
        Assert.False(new TrustedSources(new ProxyProtocolOptions { TrustUnixSockets = true }).Contains(new IPEndPoint(IPAddress.Loopback, 1)));
    }

    [Fact]
    public void Defaults_TrustNobody()
    {
        var options = new ProxyProtocolOptions();

        options.Validate();
        Assert.Empty(options.TrustedNetworks);
        Assert.False(options.TrustUnixSockets);
        Assert.Equal(ProxyProtocolMode.RequiredFromTrusted, options.Mode);
        Assert.Equal(TimeSpan.FromSeconds(5), options.HeaderTimeout);
        Assert.Equal(4096, options.MaxHeaderSize);
    }

    [Fact]
    public void UseProxyProtocol_OptionOutsideItsLimits_Throws()
    {
        AssertRefused(nameof(ProxyProtocolOptions.Mode), static o => o.Mode = (ProxyProtocolMode)3);
        AssertRefused(nameof(ProxyProtocolOptions.HeaderTimeout), static o => o.HeaderTimeout = TimeSpan.Zero);
        AssertRefused(nameof(ProxyProtocolOptions.HeaderTimeout), static o => o.HeaderTimeout = Timeout.InfiniteTimeSpan);
        AssertRefused(nameof(ProxyProtocolOptions.HeaderTimeout), static o => o.HeaderTimeout = TimeSpan.FromHours(2));
        AssertRefused(nameof(ProxyProtocolOptions.MaxHeaderSize), static o => o.MaxHeaderSize = 231);
        AssertRefused(nameof(ProxyProtocolOptions.MaxHeaderSize), static o => o.MaxHeaderSize = 65_552);
    }

    [Fact]
    public void UseProxyProtocol_Null_Throws()
    {
        Assert.Throws<ArgumentNullException>(static () => ListenOptionsProxyProtocolExtensions.UseProxyProtocol(null!));
        Configure(static listen => Assert.Throws<ArgumentNullException>(() => listen.UseProxyProtocol(null!)));
    }

    private static void AssertRefused(string option, Action<ProxyProtocolOptions> configure) => Configure(listen =>
    {
        OptionsValidationException error = Assert.Throws<OptionsValidationException>(() => listen.UseProxyProtocol(configure));
        Assert.StartsWith($"ProxyProtocolOptions.{option} is ", error.Message, StringComparison.Ordinal);
    });

    private static void Configure(Action<ListenOptions> configure)
    {
        bool wasCalled = false;
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(["--hostBuilder:reloadConfigOnChange=false"]);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(Net.AnyLoopbackPort, listen =>
        {
            configure(listen);
            wasCalled = true;
        }));
        using WebApplication app = builder.Build();
        app.Services.GetRequiredService<IServer>();
        Assert.True(wasCalled);
    }
}
