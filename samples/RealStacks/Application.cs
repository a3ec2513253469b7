namespace RealStacks;

/// <summary>The application: plain HTTP, a gRPC service and a SignalR hub that do the same.</summary>
internal static class Application
{
    public static void AddServices(IServiceCollection services)
    {
        services.AddGrpc();
        services.AddSignalR();
    }

    public static void Map(WebApplication app)
    {
        app.MapGet("/greet", static (HttpContext context, string name) => $"Hello, {name}! ({context.Request.Protocol})\n");
        app.MapGrpcService<GreeterService>();
        app.MapHub<GreeterHub>("/hub");
    }
}
