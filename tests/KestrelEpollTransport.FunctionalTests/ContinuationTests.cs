using System.Buffers;
using System.Diagnostics;
using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Where the application's code goes on after its awaits, and what it finds there.</summary>
[Collection(RunsAlone.Name)]
public sealed class ContinuationTests
{
    private const TransportKind Scheduled = TransportKind.EpollContinuations;

    private const string OurThread = "^epoll (loop|worker)";
    private const string PoolThread = "^[.]NET TP Worker";

    private static readonly AsyncLocal<string?> s_local = new();

    public enum Protocol
    {
        Http1,
        Http1Tls,
        Http2,
        Http2Tls,
    }

    [Theory]
    [InlineData(Protocol.Http1), InlineData(Protocol.Http1Tls), InlineData(Protocol.Http2), InlineData(Protocol.Http2Tls)]
    public async Task Code_BeforeAndAfterAnAwait_RunsOnTheTransportsThreadsUnderOneContext(Protocol protocol)
    {
        await using KestrelHost host = await StartAsync(
            async context =>
            {
                Place before = Place.Here(context);
                await Task.Delay(1);
                Place afterTimer = Place.Here(context);
                await Task.Yield();
                Place afterYield = Place.Here(context);
                await Task.Run(static () => Assert.Matches(PoolThread, Thread.CurrentThread.Name));
                await WriteAsync(context, before, afterTimer, afterYield, Place.Here(context));
            },
            protocol);
        using HttpClient client = CreateClient(host, protocol);
        for (int i = 0; i < 20; i++)
        {
            foreach (string place in await AskAsync(client))
            {
                Assert.Matches($"{OurThread}.* under its own$", place);
            }
        }
    }

    [Fact]
    public async Task Code_BehindConfigureAwaitFalse_StaysOnThePool_AndTheNextAwaitToo()
    {
        await using KestrelHost host = await StartAsync(async context =>
        {
            await Task.Delay(1).ConfigureAwait(false);
            Place first = Place.Here(context);
            await Task.Delay(1);
            await WriteAsync(context, first, Place.Here(context));
        });
        using HttpClient client = host.CreateClient();

        Assert.All(await AskAsync(client), static place => Assert.Matches($"{PoolThread}.* under none$", place));
    }

    [Theory, InlineData("/context"), InlineData("/pool"), InlineData("/at-once")]
    public async Task Response_WhereverTheHandlerEnds_IsCompletedOnTheTransportsThreadsWithoutTheContext(string path)
    {
        // Kestrel awaits the pipeline without a context; from under ours it would go on by the pool.
        Channel<Place> places = Channel.CreateUnbounded<Place>();
        await using KestrelHost host = await StartAsync(async context =>
        {
            context.Response.OnCompleted(() =>
            {
                Assert.True(places.Writer.TryWrite(Place.Here(context)));
                return Task.CompletedTask;
            });
            if (context.Request.Path == "/context")
            {
                await Task.Delay(1);
            }
            else if (context.Request.Path == "/pool")
            {
                await Task.Delay(1).ConfigureAwait(false);
            }

            await context.Response.WriteAsync("done").ConfigureAwait(false);
        });
        using HttpClient client = host.CreateClient();
        for (int i = 0; i < 20; i++)
        {
            await client.GetStringAsync(new Uri(path, UriKind.Relative)).OrTimeout();
            Assert.Matches($"{OurThread}.* under none$", (await places.Reader.ReadAsync().OrTimeout()).ToString());
        }
    }

    [Fact]
    public async Task NestedAwaits_OfOneWait_ArePostedOnce()
    {
        await using KestrelHost host = await StartAsync(async context =>
        {
            await OuterAsync();
            await WriteAsync(context, Place.Here(context));

            static async Task OuterAsync() => await MiddleAsync();
            static async Task MiddleAsync() => await InnerAsync();
            static async Task InnerAsync() => await Task.Delay(1);
        });
        using HttpClient client = host.CreateClient();
        await AskAsync(client);
        ThreadCounts counts = host.App.Services.GetRequiredService<TransportEngine>().Counters!.Continuations;
        long before = Total(counts);

        for (int i = 0; i < 10; i++)
        {
            await AskAsync(client);
        }

        Assert.Equal(10, Total(counts) - before);
    }

    [Fact]
    public async Task FlushOfTheBody_UnderBackPressure_GoesOnUnderTheContext()
    {
        const int Bytes = 8 * 1024 * 1024;
        Channel<Place> places = Channel.CreateUnbounded<Place>();
        await using KestrelHost host = await StartAsync(async context =>
        {
            context.Response.ContentLength = Bytes;
            context.Response.BodyWriter.Write(new byte[Bytes]);
            ValueTask<FlushResult> flush = context.Response.BodyWriter.FlushAsync();
            Assert.False(flush.IsCompleted);
            await flush;
            Assert.True(places.Writer.TryWrite(Place.Here(context)));
        });
        using Socket client = await host.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        byte[] buffer = new byte[64 * 1024];
        for (int left = Bytes; left > 0;)
        {
            left -= await client.ReceiveAsync(buffer).OrTimeout();
        }

        Assert.Matches($"{OurThread}.* under its own$", (await places.Reader.ReadAsync().OrTimeout()).ToString());
    }

    [Theory, InlineData(1), InlineData(4), InlineData(256)]
    public async Task CodeThatBlocksOnItsOwnTasks_MoreThanAllThreads_IsAllAnswered(int maxWorkers)
    {
        // The task needs the context to end, on which this blocks: with a context of one thread a deadlock.
        await using KestrelHost host = await StartAsync(
            async context =>
            {
                await Task.Yield();
#pragma warning disable xUnit1031 // It is what this test is about.
                await context.Response.WriteAsync(InnerAsync().Result);
#pragma warning restore xUnit1031

                static async Task<string> InnerAsync()
                {
                    await Task.Delay(1);
                    await Task.Yield();
                    return "inner";
                }
            },
            configure: options => options.MaxWorkers = maxWorkers);
        using HttpClient client = host.CreateClient();
        for (int round = 0; round < 3; round++)
        {
            string[] answers = await Task.WhenAll(Enumerable.Range(0, 60).Select(_ => client.GetStringAsync(host.Address))).OrTimeout();
            Assert.All(answers, static answer => Assert.Equal("inner", answer));
        }
    }

    [Theory]
    [InlineData(Protocol.Http1), InlineData(Protocol.Http2)]
    public async Task CodeThatBlocksBehindAnAwait_ManyMoreThanThreads_LeavesOldAndNewConnectionsServed(Protocol protocol)
    {
        const int Blocked = 100;
        using ManualResetEventSlim release = new();
        using CountdownEvent blocked = new(Blocked);
        await using KestrelHost host = await StartAsync(
            async context =>
            {
                await Task.Delay(1);
                if (context.Request.Path == "/block")
                {
                    blocked.Signal();
                    release.Wait(Timeouts.Limit);
                }

                await context.Response.WriteAsync("answer");
            },
            protocol);
        using HttpClient blocking = CreateClient(host, protocol);
        using HttpClient old = CreateClient(host, protocol);
        await old.GetStringAsync(host.Address).OrTimeout();
        Task<string>[] all = [.. Enumerable.Range(0, Blocked).Select(_ => blocking.GetStringAsync(new Uri("/block", UriKind.Relative)))];
        Assert.True(blocked.Wait(Timeouts.Limit), $"{blocked.CurrentCount} handlers have not begun.");

        for (int i = 0; i < 20; i++)
        {
            await old.GetStringAsync(host.Address).OrTimeout();
            using HttpClient fresh = CreateClient(host, protocol);
            await fresh.GetStringAsync(host.Address).OrTimeout();
        }

        Assert.All(all, static task => Assert.False(task.IsCompleted));
        release.Set();
        await Task.WhenAll(all).OrTimeout();
        ThreadCounts counts = host.App.Services.GetRequiredService<TransportEngine>().Counters!.Continuations;
        Assert.InRange(counts.OnWorkers, 1, Total(counts));
        Assert.Equal(0, counts.OnPool);
    }

    [Theory, AllTransports]
    public async Task AsyncLocalsActivityAndCulture_FlowAcrossAwaits_AndNotToOtherRequests(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, async context =>
        {
            string name = context.Request.Path.Value![1..];
            Assert.Null(s_local.Value);
            Assert.NotEqual("minus", CultureInfo.CurrentCulture.NumberFormat.NegativeSign);
            s_local.Value = name;
            CultureInfo own = (CultureInfo)CultureInfo.InvariantCulture.Clone();
            own.NumberFormat.NegativeSign = "minus";
            CultureInfo.CurrentCulture = own;
            using Activity activity = new Activity(name).Start();
            for (int i = 0; i < 5; i++)
            {
                await (i % 2 == 0 ? Task.Delay(1) : Task.Run(() => Assert.Equal(name, s_local.Value)));
                Assert.Equal(name, s_local.Value);
                Assert.Same(own, CultureInfo.CurrentCulture);
                Assert.Same(activity, Activity.Current);
            }

            await context.Response.WriteAsync(name);
        });
        using HttpClient client = host.CreateClient();
        for (int round = 0; round < 5; round++)
        {
            string[] answers = await Task.WhenAll(Enumerable.Range(0, 16).Select(i => client.GetStringAsync(new Uri($"/{i}", UriKind.Relative)))).OrTimeout();
            Assert.Equal(Enumerable.Range(0, 16).Select(static i => i.ToString(CultureInfo.InvariantCulture)), answers);
        }
    }

    [Theory, AllTransports]
    public async Task TimersChannelsIteratorsAndParallelLoops_WorkAsEver(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, async context =>
        {
            int sum = 0;
            await foreach (int number in CountAsync())
            {
                sum += number;
            }

            Channel<int> channel = Channel.CreateBounded<int>(1);
            Task writing = Task.Run(async () =>
            {
                for (int i = 1; i <= 10; i++)
                {
                    await channel.Writer.WriteAsync(i);
                }

                channel.Writer.Complete();
            });
            await foreach (int number in channel.Reader.ReadAllAsync())
            {
                sum += number;
            }

            await writing;
            Parallel.For(1, 11, number => Interlocked.Add(ref sum, number));
            await Parallel.ForAsync(1, 11, async (number, token) =>
            {
                await Task.Delay(1, token);
                Interlocked.Add(ref sum, number);
            });
            using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(1));
            Assert.True(await timer.WaitForNextTickAsync());
            Assert.Equal(55, Enumerable.Range(1, 10).AsParallel().Sum());
            await context.Response.WriteAsync(sum.ToString(CultureInfo.InvariantCulture));

            static async IAsyncEnumerable<int> CountAsync()
            {
                for (int i = 1; i <= 10; i++)
                {
                    await Task.Yield();
                    yield return i;
                }
            }
        });
        using HttpClient client = host.CreateClient();

        string[] answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => client.GetStringAsync(host.Address))).OrTimeout();
        Assert.All(answers, static answer => Assert.Equal("220", answer));
    }

    [Theory, AllTransports]
    public async Task PostsOfProgressAndOfTokens_RunInTheContextOfWhoMadeThem(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, async context =>
        {
            s_local.Value = "mine";
            TaskCompletionSource<string?> reported = new(), continued = new();
            IProgress<int> progress = new Progress<int>(_ => reported.SetResult(s_local.Value));
            progress.Report(1);
            using CancellationTokenSource cancellation = new();
            using CancellationTokenRegistration registration = cancellation.Token.Register(
                () => continued.SetResult(s_local.Value), useSynchronizationContext: true);
            await Task.Run(cancellation.Cancel);
            await context.Response.WriteAsync($"{await reported.Task} {await continued.Task}");
        });
        using HttpClient client = host.CreateClient();

        Assert.Equal("mine mine", await client.GetStringAsync(host.Address).OrTimeout());
    }

    [Fact]
    public async Task BodyThatComesLate_AndRequestsInOnePacket_GoOnUnderTheContext()
    {
        await using KestrelHost host = await StartAsync(async context =>
        {
            using StreamReader reader = new(context.Request.Body);
            string body = await reader.ReadToEndAsync();
            context.Response.ContentLength = null;
            await context.Response.WriteAsync($"[{body}: {Place.Here(context)}]");
        });
        using Socket client = await host.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nla");
        await client.SendAsync("te");
        string late = await HttpConnectionEndTests.ReceiveUntilAsync(client, "]\r\n0\r\n\r\n");
        Assert.Matches(@"\[late: epoll (loop|worker).* under its own\]", late);

        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        string both = await client.ReceiveTextToEndAsync();
        Assert.Equal(2, System.Text.RegularExpressions.Regex.Count(both, @"\[: epoll (loop|worker).* under its own\]"));
    }

    [Fact]
    public async Task ContextOfTheApplication_AroundTheMiddleware_IsBackBehindIt()
    {
        OwnContext own = new();
        await using KestrelHost host = await KestrelHost.StartAsync(TransportKind.EpollAdaptive, app =>
        {
            app.Use(async (context, next) =>
            {
                SynchronizationContext.SetSynchronizationContext(own);
                await next(context);
                Assert.Same(own, SynchronizationContext.Current);
            });
            app.UseTransportScheduling();
            app.Run(async context =>
            {
                Assert.Same(context.Features.Get<ApplicationContext>(), SynchronizationContext.Current);
                if (context.Request.Path == "/late")
                {
                    await Task.Delay(1);
                }

                await WriteAsync(context, Place.Here(context));
            });
        });
        using HttpClient client = host.CreateClient();
        for (int i = 0; i < 5; i++)
        {
            Assert.Matches($"{OurThread}.* under its own$", Assert.Single(await AskAsync(client, i % 2 == 0 ? "/late" : "/")));
        }
    }

    [Fact]
    public async Task ReadsOfOnePiece_FromAFastSender_ShareTheBudgetOfOneTurn()
    {
        const int Much = 64 * 1024 * 1024;
        const int MoreThanOneReceive = 64 * 1024;
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(Scheduled);
        ApplicationContext context = pair.Server.Features.Get<ApplicationContext>()!;
        Socket socket = pair.Server.Features.Get<IConnectionSocketFeature>()!.Socket;
        Task send = Task.Factory.StartNew(
            () =>
            {
                byte[] buffer = new byte[1024 * 1024];
                while (pair.Client.Send(buffer, SocketFlags.None, out _) > 0)
                {
                    // Until the other end has gone.
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        ReadResult first = await pair.Input.ReadAsync().OrTimeout();
        pair.Input.AdvanceTo(first.Buffer.End);

        TaskCompletionSource<(long AtOnce, Task<ReadResult> Pending)> piece = new();
        context.Post(
            _ =>
            {
                long atOnce = 0;
                ValueTask<ReadResult> read = default;
                while (atOnce < Much && SpinWait.SpinUntil(() => socket.Available >= MoreThanOneReceive, Timeouts.Limit))
                {
                    read = pair.Input.ReadAsync();
                    if (!read.IsCompleted)
                    {
                        break;
                    }

                    ReadResult result = read.Result;
                    atOnce += result.Buffer.Length;
                    pair.Input.AdvanceTo(result.Buffer.End);
                }

                piece.SetResult((atOnce, read.AsTask()));
            },
            null);
        (long atOnce, Task<ReadResult> pending) = await piece.Task.OrTimeout();

        // What was buffered before, up to MaxReadBufferSize and a receive; the budget; and the receive that exceeds it.
        Assert.InRange(atOnce, MoreThanOneReceive, 4 * 1024 * 1024);
        ReadResult next = await pending.OrTimeout();
        Assert.False(next.Buffer.IsEmpty);
        pair.Input.AdvanceTo(next.Buffer.End);
        pair.Server.Abort();
        await send.OrTimeout();
    }

    [Fact]
    public async Task TaskSchedulerOfTheContext_RunsTasksUnderIt()
    {
        await using KestrelHost host = await StartAsync(async context =>
        {
            TaskScheduler scheduler = TaskScheduler.FromCurrentSynchronizationContext();
            List<Place> places = [];
            while (places.Count < 4)
            {
                int starter = Environment.CurrentManagedThreadId;
                bool starts = true;
                Task task = Task.Factory.StartNew(
                    () =>
                    {
                        // Another thread may run it at any time, this one behind the call.
                        Assert.False(Environment.CurrentManagedThreadId == starter && starts);
                        places.Add(Place.Here(context));
                    },
                    CancellationToken.None,
                    TaskCreationOptions.None,
                    scheduler);
                starts = false;
                await task;
            }

            await WriteAsync(context, [.. places]);
        });
        using HttpClient client = host.CreateClient();

        string[] answer = await AskAsync(client);
        Assert.Equal(4, answer.Length);
        Assert.All(answer, static place => Assert.Matches($"{OurThread}.* under its own$", place));
    }

    [Fact]
    public async Task ContextThatIsMadeBehindTheEnd_DoesNotKeepTheConnection_AndRunsWhatIsPosted()
    {
        (WeakReference connection, ApplicationContext late) = await UseAsync();
        await AssertCollectedAsync(connection);
        TaskCompletionSource<SynchronizationContext?> posted = new();
        late.Post(_ => posted.SetResult(SynchronizationContext.Current), null);
        Assert.Same(late, await posted.Task.OrTimeout());

        static async Task<(WeakReference Connection, ApplicationContext Context)> UseAsync()
        {
            ConnectionPair pair = await ConnectionPair.CreateAsync(Scheduled);
            await pair.DisposeAsync();
            return (new WeakReference(pair.Server), pair.Server.Features.Get<ApplicationContext>()!);
        }
    }

    [Fact]
    public async Task ConnectionThatEnded_IsNotKeptByWhatOutlivesIt()
    {
        (WeakReference connection, ApplicationContext kept) = await UseAsync();
        await AssertCollectedAsync(connection);
        TaskCompletionSource posted = new();
        kept.Post(_ => posted.SetResult(), null);
        await posted.Task.OrTimeout();

        static async Task<(WeakReference Connection, ApplicationContext Context)> UseAsync()
        {
            await using ConnectionPair pair = await ConnectionPair.CreateAsync(Scheduled);
            return (new WeakReference(pair.Server), pair.Server.Features.Get<ApplicationContext>()!);
        }
    }

    [Fact]
    public async Task FireAndForget_BehindItsRequest_ItsConnectionAndTheTransport_StillRuns()
    {
        using SemaphoreSlim goOn = new(0);
        TaskCompletionSource<string>[] steps = [new(), new(), new()];
        KestrelHost host = await StartAsync(context =>
        {
            _ = OutliveAsync();
            return context.Response.WriteAsync("done");
        });
        using (Socket client = await host.ConnectAsync())
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            Assert.EndsWith("done\r\n0\r\n\r\n", await client.ReceiveTextToEndAsync(), StringComparison.Ordinal);
        }

        goOn.Release();
        Assert.Matches(OurThread, await steps[0].Task.OrTimeout());
        await host.DisposeAsync();
        goOn.Release();
        await steps[1].Task.OrTimeout();
        goOn.Release();
        await steps[2].Task.OrTimeout();

        async Task OutliveAsync()
        {
            foreach (TaskCompletionSource<string> step in steps)
            {
                await goOn.WaitAsync();
                step.SetResult(Thread.CurrentThread.Name ?? "");
            }
        }
    }

    [Theory]
    [InlineData(TransportKind.Sockets), InlineData(TransportKind.EpollThreadPool), InlineData(TransportKind.EpollInline)]
    public async Task ExplicitMiddleware_WithoutAdaptiveScheduling_ChangesNothing(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, app =>
        {
            app.UseTransportScheduling();
            app.Run(async context =>
            {
                await Task.Delay(1);
                await WriteAsync(context, Place.Here(context));
            });
        });
        using HttpClient client = host.CreateClient();

        Assert.Matches($"{PoolThread}.* under none$", Assert.Single(await AskAsync(client)));
    }

    [Fact]
    public async Task ExplicitMiddleware_InABranch_SchedulesThatOnly()
    {
        await using KestrelHost host = await KestrelHost.StartAsync(TransportKind.EpollAdaptive, app =>
        {
            app.MapWhen(
                static context => context.Request.Path == "/branch",
                static branch =>
                {
                    branch.UseTransportScheduling();
                    branch.UseTransportScheduling();
                    branch.Run(HandleAsync);
                });
            app.Run(HandleAsync);
        });
        using HttpClient client = host.CreateClient();
        for (int i = 0; i < 5; i++)
        {
            Assert.Matches($"{OurThread}.* under its own$", Assert.Single(await AskAsync(client, "/branch")));
            Assert.Matches($"{PoolThread}.* under none$", Assert.Single(await AskAsync(client)));
        }

        static async Task HandleAsync(HttpContext context)
        {
            await Task.Delay(1);
            await WriteAsync(context, Place.Here(context));
        }
    }

    [Fact]
    public async Task HandlerThatThrows_BehindAnAwait_IsAnsweredWith500_AndTheConnectionLivesOn()
    {
        await using KestrelHost host = await StartAsync(async context =>
        {
            await Task.Delay(1);
            if (context.Request.Path == "/throw")
            {
                throw new InvalidOperationException("of the handler");
            }

            await WriteAsync(context, Place.Here(context));
        });
        using HttpClient client = host.CreateClient();
        for (int i = 0; i < 5; i++)
        {
            using HttpResponseMessage answer = await client.GetAsync(new Uri("/throw", UriKind.Relative)).OrTimeout();
            Assert.Equal(HttpStatusCode.InternalServerError, answer.StatusCode);
            Assert.Matches($"{OurThread}.* under its own$", Assert.Single(await AskAsync(client)));
        }
    }

    [Theory, AllTransports]
    public async Task AsyncVoid_ThatThrowsBehindAnAwait_EndsTheProcess(TransportKind kind)
    {
        string dotnet = Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? Environment.ProcessPath! : "dotnet";
        using Process server = Process.Start(new ProcessStartInfo(dotnet)
        {
            RedirectStandardError = true,
            ArgumentList = { "exec", typeof(ContinuationTests).Assembly.Location, AsyncVoidServer.Command, kind.ToString() },
        })!;
        string errors = await server.StandardError.ReadToEndAsync().OrTimeout();
        Assert.True(server.WaitForExit(Timeouts.Limit));

        Assert.NotEqual(0, server.ExitCode);
        Assert.Contains($"Unhandled exception. System.InvalidOperationException: {AsyncVoidServer.Message}", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ContextOfAConnection_PostsBesideIt_SendsHere_AndIsItsOwnCopy()
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(TransportKind.EpollAdaptive);
        SynchronizationContext context = pair.Server.Features.Get<ApplicationContext>()!;
        Assert.Same(context, pair.Server.Features.Get<ApplicationContext>());
        Assert.Same(context, context.CreateCopy());

        TaskCompletionSource<SynchronizationContext?> posted = new();
        context.Post(_ => posted.SetResult(SynchronizationContext.Current), null);
        Assert.Same(context, await posted.Task.OrTimeout());

        int thread = 0;
        SynchronizationContext? before = SynchronizationContext.Current;
        context.Send(_ => thread = Environment.CurrentManagedThreadId, null);
        Assert.Equal(Environment.CurrentManagedThreadId, thread);
        Assert.Same(before, SynchronizationContext.Current);
        Assert.Throws<TimeZoneNotFoundException>(() => context.Send(static _ => throw new TimeZoneNotFoundException(), null));
        Assert.Same(before, SynchronizationContext.Current);
    }

    private static Task<KestrelHost> StartAsync(RequestDelegate handler, Protocol protocol = Protocol.Http1, Action<EpollTransportOptions>? configure = null) =>
        KestrelHost.StartAsync(
            Scheduled,
            app => app.Run(handler),
            listen =>
            {
                listen.Protocols = protocol is Protocol.Http1 or Protocol.Http1Tls ? HttpProtocols.Http1 : HttpProtocols.Http2;
                if (protocol is Protocol.Http1Tls or Protocol.Http2Tls)
                {
                    KestrelHost.UseTls(listen);
                }
            },
            builder => builder.Services.Configure<EpollTransportOptions>(options => configure?.Invoke(options)));

    private static HttpClient CreateClient(KestrelHost host, Protocol protocol) =>
        host.CreateClient(protocol is Protocol.Http1 or Protocol.Http1Tls ? HttpVersion.Version11 : HttpVersion.Version20);

    private static async Task AssertCollectedAsync(WeakReference connection)
    {
        for (int i = 0; i < 200 && connection.IsAlive; i++)
        {
            await Task.Delay(10);
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(connection.IsAlive);
    }

    private static Task WriteAsync(HttpContext context, params Place[] places) => context.Response.WriteAsync(string.Join('\n', places));

    private static async Task<string[]> AskAsync(HttpClient client, string path = "/") =>
        (await client.GetStringAsync(new Uri(path, UriKind.Relative)).OrTimeout()).Split('\n');

    private static long Total(ThreadCounts counts) => counts.OnLoops + counts.OnWorkers + counts.OnPool;

    private sealed class OwnContext : SynchronizationContext
    {
        public override void Post(SendOrPostCallback d, object? state) => ThreadPool.QueueUserWorkItem(
            _ =>
            {
                SetSynchronizationContext(this);
                d(state);
            });
    }

    /// <summary>On which thread something ran, and under which context.</summary>
    private sealed record Place(string Thread, string Context)
    {
        public static Place Here(HttpContext context) => new(
            System.Threading.Thread.CurrentThread.Name ?? "",
            SynchronizationContext.Current is not { } current ? "none"
                : current == context.Features.Get<ApplicationContext>() ? "its own" : current.ToString()!);

        public override string ToString() => $"{Thread} under {Context}";
    }
}
