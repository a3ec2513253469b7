namespace KestrelEpollTransport;

/// <summary>
/// Has requests of an endpoint served also while the server is overloaded. Without effect where <c>UseLoadShedding()</c> comes before routing,
/// as the endpoint is not known there: use <see cref="LoadSheddingOptions.Exempt"/>.
/// </summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
public sealed class ExemptFromLoadSheddingAttribute : Attribute;
