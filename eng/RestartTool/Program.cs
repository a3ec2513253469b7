// Restarts samples/Restart again and again under the load of many clients, and counts what they noticed: nothing, it should be.
//   --connections 2000       six in ten keep their connection, two make one for each request, one speaks HTTP/2, one a WebSocket
//   --restarts 20
//   --pause 500              milliseconds, on average, between a client's answer and its next request
//   --by inheriting|reuse-port     each process inherits the listening sockets, or has its own with SO_REUSEPORT
//   --drain 5                seconds that connections in use have for another request; 0 is what Kestrel does by itself
//   --port 5190              and the next one for HTTP/2
//   --server PATH            the built sample's Restart.dll
// The exit code is 0 if nothing failed and nothing was reset; with reuse-port the figures are only printed.
using System.Globalization;
using System.Net;
using RestartTool;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
RestartOptions options;
try
{
    options = RestartOptions.Parse(args);
}
catch (FormatException error)
{
    Console.Error.WriteLine(error.Message);
    return 2;
}

var figures = new Figures();
using var servers = new Servers(options);
await servers.StartAsync();

var http = new IPEndPoint(IPAddress.Loopback, options.Port);
var http2 = new IPEndPoint(IPAddress.Loopback, options.Port + 1);
using var stop = new CancellationTokenSource();
Task[] clients = [.. Enumerable.Range(0, options.Connections).Select(i => Create(i).RunAsync(options.PauseMs, stop.Token))];

// Until all of them are connected, and code is compiled.
await Task.Delay(options.PauseMs * 4);
for (int i = 1; i <= options.Restarts; i++)
{
    long before = figures.Answered;
    (TimeSpan serving, TimeSpan ended) = await servers.RestartAsync();
    Console.WriteLine($"restart {i}: the next process served after {serving.TotalSeconds:F2} s, the last one ended after {ended.TotalSeconds:F2} s, {figures.Answered - before} answers meanwhile");
    await Task.Delay(options.PauseMs);
}

await stop.CancelAsync();
await Task.WhenAll(clients);
await servers.StopAsync();
figures.Print(Console.Out);

// A run that restarted nobody's WebSocket, or answered nothing, showed nothing.
bool isShown = figures.Answered > options.Connections && figures.GoingAway > 0;
return isShown && (options.ReusesPort || !figures.HasFailures) ? 0 : 1;

Client Create(int index) => (index % 10) switch
{
    < 6 => new HttpClientByHand(figures, http, keepsConnection: true),
    < 8 => new HttpClientByHand(figures, http, keepsConnection: false),
    8 => new Http2Client(figures, http2),
    _ => new WebSocketClient(figures, http),
};
