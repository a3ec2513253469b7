// Opens many connections to a server on this machine, holds them, and then asks on each of them whether it still works.
//   ConnectionHolder PORT COUNT [--silent]
// Each connection asks for / once, unless --silent; then "holding COUNT" is printed. When standard input ends (or a line
// comes), each asks once more, unless --silent, and "answered again COUNT" is printed. The exit code is 0 if all did.
using System.Globalization;
using System.Net;
using System.Net.Sockets;

// One source address has some 28,000 ports to give; spread out, no address comes near that.
const int ConnectionsPerSourceAddress = 5_000;
const int AtATime = 64;

// The port is chosen when the socket connects, ip(7): before that the kernel would have to find one that no connection of
// the last minute has had with any server, and search for it long.
const int IpLevel = 0;
const int BindAddressNoPort = 24;

if (args.Length < 2)
{
    Console.Error.WriteLine("ConnectionHolder PORT COUNT [--silent]");
    return 2;
}

var server = new IPEndPoint(IPAddress.Loopback, int.Parse(args[0], CultureInfo.InvariantCulture));
int count = int.Parse(args[1], CultureInfo.InvariantCulture);
bool silent = args.Contains("--silent");
byte[] request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"u8.ToArray();
var sockets = new Socket[count];

int connected = await CountAsync(async i =>
{
    sockets[i] = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    sockets[i].SetRawSocketOption(IpLevel, BindAddressNoPort, BitConverter.GetBytes(1));
    sockets[i].Bind(new IPEndPoint(new IPAddress([127, 0, 1, (byte)(1 + (i / ConnectionsPerSourceAddress))]), 0));
    await sockets[i].ConnectAsync(server);
    return silent || await AskAsync(sockets[i]);
});
Console.WriteLine($"holding {connected}");
Console.ReadLine();

int answered = silent ? connected : await CountAsync(i => AskAsync(sockets[i]));
Console.WriteLine($"answered again {answered}");
foreach (Socket socket in sockets)
{
    socket.Dispose();
}

return answered == count ? 0 : 1;

async Task<int> CountAsync(Func<int, Task<bool>> ask)
{
    int succeeded = 0;
    await Parallel.ForAsync(0, count, new ParallelOptions { MaxDegreeOfParallelism = AtATime }, async (i, cancellationToken) =>
    {
        try
        {
            if (await ask(i).WaitAsync(TimeSpan.FromSeconds(20), cancellationToken))
            {
                Interlocked.Increment(ref succeeded);
            }
        }
        catch (Exception e) when (e is SocketException or TimeoutException or ObjectDisposedException)
        {
            Console.Error.WriteLine($"connection {i}: {e.Message}");
        }
    });
    return succeeded;
}

// The answer to / is far smaller than the buffer, and its body is the last thing in it.
async Task<bool> AskAsync(Socket socket)
{
    await socket.SendAsync(request);
    byte[] buffer = new byte[1024];
    int received = 0;
    while (!buffer.AsSpan(0, received).EndsWith("Hello, World!"u8))
    {
        int read = await socket.ReceiveAsync(buffer.AsMemory(received));
        if (read == 0)
        {
            return false;
        }

        received += read;
    }

    return buffer.AsSpan(0, received).StartsWith("HTTP/1.1 200"u8);
}
