using System.Reflection;
using Xunit.Sdk;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Runs a theory once on Sockets and once in each scheduling mode of ours; extra arguments follow the kind.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
public sealed class AllTransportsAttribute(params object?[] arguments) : DataAttribute
{
    public override IEnumerable<object?[]> GetData(MethodInfo testMethod) =>
        TransportKindExtensions.All.Select(kind => (object?[])[kind, .. arguments]);
}

/// <summary>Runs a theory of two servers: each kind in front of Sockets, behind Sockets, and on both sides.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class TransportPairsAttribute : DataAttribute
{
    public override IEnumerable<object?[]> GetData(MethodInfo testMethod) => TransportKindExtensions.All
        .SelectMany(static kind => new[] { (kind, TransportKind.Sockets), (TransportKind.Sockets, kind), (kind, kind) })
        .Distinct()
        .Select(static pair => (object?[])[pair.Item1, pair.Item2]);
}

/// <summary>Runs a theory in each scheduling mode of ours, for behaviour that Sockets does not have.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
public sealed class EpollTransportsAttribute(string whyNotSockets, params object?[] arguments) : DataAttribute
{
    public string WhyNotSockets { get; } = whyNotSockets;

    public override IEnumerable<object?[]> GetData(MethodInfo testMethod) =>
        TransportKindExtensions.All.Where(kind => kind.IsOurs()).Select(kind => (object?[])[kind, .. arguments]);
}
