using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using worker;

var builder = Host.CreateApplicationBuilder(args);
builder.Services.AddEpollTransport();
builder.Services.AddHostedService<Worker>();

var host = builder.Build();
host.Run();
