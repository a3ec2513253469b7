using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.SignalR;

namespace RealStacks;

#pragma warning disable CA1515 // SignalR makes it.
#pragma warning disable CA1822 // Hub methods are of an instance.
/// <summary>The same service as a SignalR hub.</summary>
public sealed class GreeterHub : Hub
{
    /// <summary>Greets the caller, and lets it hear of it by a call of its own, "greeted".</summary>
    public async Task<string> Greet(string name)
    {
        if (name == "")
        {
            throw new HubException("A name is needed.");
        }

        await Task.Delay(1, Context.ConnectionAborted);
        await Clients.Caller.SendAsync("greeted", name, Context.ConnectionAborted);
        return $"Hello, {name}!";
    }

    /// <summary>The numbers from 0 up to a limit.</summary>
    public async IAsyncEnumerable<int> Count(int limit, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        for (int i = 0; i < limit; i++)
        {
            await Task.Delay(1, cancellationToken);
            yield return i;
        }
    }

    /// <summary>What the numbers come to that the client streams.</summary>
    public async Task<int> Sum(IAsyncEnumerable<int> numbers)
    {
        int sum = 0;
        await foreach (int number in numbers)
        {
            sum += number;
        }

        return sum;
    }
}
#pragma warning restore CA1822
#pragma warning restore CA1515
