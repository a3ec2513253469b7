var builder = WebApplication.CreateBuilder(args);
builder.WebHost.UseEpollTransport();
var app = builder.Build();
app.MapGet("/", () => "Hello");
app.Run();
