using RandomEnds.Plans;
using RandomEnds.Transports;

namespace RandomEnds.Running;

/// <summary>
/// Plays one plan on one connection. A single flow of control moves both sides, and between two steps it waits for
/// what the first brought about, so that most of what is seen does not depend on time.
/// </summary>
internal sealed class CaseRun(CasePlan plan, Application application, Client client, Observation seen)
{
    private static readonly TimeSpan s_idle = TimeSpan.FromMilliseconds(2);

    public async Task RunAsync()
    {
        foreach (Step step in plan.Before)
        {
            await PerformAsync(step);
        }

        await PrepareAsync();
        await (plan.End switch
        {
            End.ClientClose or End.ClientHalfClose or End.ClientReset => ClientEndsAsync(),
            End.Dispose => Task.CompletedTask,
            End.InputComplete => InputCompletesAsync(),
            _ => ApplicationEndsAsync(),
        });

        seen.Doing = "disposing";
        seen.Note("application: disposes");
        await application.DisposeAsync();
        await application.FlushEndsAsync();
        seen.Doing = "waiting for the token after the disposal";
        await application.Closed;
        seen.Doing = "waiting for the end of the client's stream";
        await client.Receiving;
        seen.Doing = "done";
    }

    private async Task PerformAsync(Step step)
    {
        seen.Doing = step.ToString();
        seen.Note(seen.Doing);
        switch (step.Kind)
        {
            case StepKind.ClientSends:
                client.StartSending(step.Bytes);
                break;
            case StepKind.ApplicationReads:
                await application.ReadAsync(step.Bytes);
                break;
            case StepKind.ApplicationFlushes:
                await application.StartFlushingAsync(step.Bytes);
                break;
            case StepKind.ClientReceives:
                await client.ReceiveAsync(step.Bytes);
                break;
            default:
                await Task.Delay(1);
                break;
        }
    }

    /// <summary>Brings about what the end counts on.</summary>
    private async Task PrepareAsync()
    {
        seen.Doing = "preparing the end";
        await application.ReadAsync(plan.Sent - plan.Unread - seen.Read);
        if (plan.End == End.ClientClose || (plan.Settles && !plan.IsEndOfClient))
        {
            // A close with unread bytes would be a reset.
            await client.ReceiveAsync(plan.Outstanding);
            await application.FlushEndsAsync();
        }

        if (plan is { End: End.ClientReset, Family: Family.Unix, Outstanding: 0 })
        {
            await application.StartFlushingAsync(1);
        }

        if (plan.ReadsBefore && plan.Unread == 0 && plan.End is not (End.Dispose or End.InputComplete))
        {
            application.StartReading();
        }

        if (plan.End is not (End.ClientClose or End.ClientReset))
        {
            client.StartReceivingToEnd();
        }
    }

    private async Task ClientEndsAsync()
    {
        seen.Doing = "ending the client's side";
        if (plan.End == End.ClientReset)
        {
            await client.PrepareResetAsync();
            if (plan.WritesOn)
            {
                await application.StartWritingOnAsync();
            }

            await client.ResetAsync();
        }
        else
        {
            client.StartEnding(close: plan.End == End.ClientClose);
        }

        // What lies behind more than is received ahead is not seen before the application reads. A reset is, but not by
        // Sockets while its full pipe holds it back.
        bool isTold = plan.FitsAhead || (plan.End == End.ClientReset && seen.Subject != Subject.Sockets);
        bool waits = isTold && plan.Reaction is not (Reaction.ReadOn or Reaction.AbortNull);
        if (waits)
        {
            seen.Doing = "waiting for the token";
            await application.Closed;
            await ReactAsync();
        }

        await application.ReadToEndAsync();
        seen.Doing = "waiting for the token after the end";
        await application.Closed;
        if (!waits)
        {
            await ReactAsync();
        }

        await application.FlushEndsAsync();
    }

    private async Task ReactAsync()
    {
        switch (plan.Reaction)
        {
            case Reaction.CompleteOutput:
                await application.CompleteOutputAsync();
                break;
            case Reaction.Answer:
                seen.Note("application: answers");
                await application.WriteLateAsync();
                break;
        }
    }

    private async Task ApplicationEndsAsync()
    {
        seen.Doing = $"ending by {plan.End}";
        seen.Note($"application: {plan.End}");
        switch (plan.End)
        {
            case End.AbortNull:
            case End.AbortReason:
                application.Abort(withReason: plan.End == End.AbortReason);
                break;
            case End.IdleTimeout:
                _ = Task.Delay(s_idle).ContinueWith(_ => application.Abort(withReason: true), TaskScheduler.Default);
                break;
            case End.OutputComplete:
                await application.CompleteOutputAsync();
                break;
            case End.OutputCompleteError:
                await application.CompleteOutputAsync(new InvalidOperationException(Application.Error));
                break;
            default:
                application.CloseSocket();
                break;
        }

        seen.Doing = "waiting for the token";
        await application.Closed;
        await application.ReadToEndAsync();
        if (plan.End is not (End.OutputComplete or End.OutputCompleteError))
        {
            await application.WriteLateAsync();
        }
    }

    private async Task InputCompletesAsync()
    {
        seen.Doing = "completing the input";
        seen.Note("application: completes the input");
        await application.CompleteInputAsync();
        client.StartEnding(close: false);
        if (plan.FitsAhead)
        {
            seen.Doing = "waiting for the token";
            await application.Closed;
        }

        await application.WriteLateAsync();
    }
}
