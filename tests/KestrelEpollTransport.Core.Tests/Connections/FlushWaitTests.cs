using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>Every interleaving of a flush that waits for room with a sender that makes some, and with the end.</summary>
public class FlushWaitTests
{
    private const int ResumeAt = 2;

    [Theory]
    [InlineData("sender")]
    [InlineData("close")]
    [InlineData("cancel")]
    [InlineData("sender", "close")]
    [InlineData("sender", "cancel")]
    public void Flush_AgainstWhoEndsItsWait_IsResumedExactlyOnce(params string[] others)
    {
        Actor<Model>[] actors =
        [
            new("flush", model => model.Flush()),
            .. others.Select(name => new Actor<Model>(name, name switch
            {
                "sender" => model => model.Send(),
                "close" => model => model.Close(),
                _ => model => model.Cancel(),
            })),
        ];

        int schedules = Interleavings.Explore(() => new Model(), model => model.Check(), actors);

        Assert.True(schedules > 3, $"Only {schedules} schedules: the actors did not meet.");
    }

    [Fact]
    public void Flush_ClearedAfterTheLook_LosesTheRoom()
    {
        // Wrong on purpose: the sender sees Ready still set, and does not signal.
        static IEnumerable<Step> Wrong(Model model)
        {
            yield return "is there room?";
            bool isFull = model.Unsent > ResumeAt;
            yield return "ClearReady";
            model.Word.ClearReady();
            yield return "TryWait";
            model.Waits = isFull && model.Word.TryWait();
        }

        InterleavingException found = Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            () => new Model(), model => model.Check(), new Actor<Model>("flush", Wrong), new Actor<Model>("sender", model => model.Send())));
        Assert.Contains("ClearReady", found.Message, StringComparison.Ordinal);
    }

    /// <summary>The steps of MustWait, FlushAsync, CompletePendingFlush and OnSent of <see cref="ConnectionWriter"/>.</summary>
    private sealed class Model
    {
        public AwaitWord Word;
        private int _owed;
        private bool _closed;
        private bool _canceled;

        public Model() => Word.SetReady();

        public int Unsent { get; private set; } = 5;

        public bool Waits { get; set; }

        public IEnumerable<Step> Flush()
        {
            while (true)
            {
                yield return "ClearReady";
                Word.ClearReady();
                yield return "is there room?";
                if (Unsent <= ResumeAt)
                {
                    yield break;
                }

                yield return "TryWait";
                if (Word.TryWait())
                {
                    Waits = true;
                    yield return new Step("the resume runs", () => _owed > 0, MayStay: true);
                    _owed--;
                    Waits = false;
                }

                yield return "has it ended?";
                if (Word.IsClosed || Word.IsCanceled)
                {
                    yield break;
                }
            }
        }

        public IEnumerable<Step> Send()
        {
            while (Unsent > 0)
            {
                yield return "send, and leave";
                Unsent -= 2;
                yield return "IsReady";
                if (!Word.IsReady)
                {
                    yield return "is there room?";
                    if (Unsent <= ResumeAt)
                    {
                        yield return "SetReady";
                        Owe(Word.SetReady());
                    }
                }
            }
        }

        public IEnumerable<Step> Close()
        {
            yield return "Close";
            _closed = true;
            Owe(Word.Close());
        }

        public IEnumerable<Step> Cancel()
        {
            yield return "Cancel";
            _canceled = true;
            Owe(Word.Cancel());
        }

        public void Check()
        {
            Assert.Equal(0, _owed);
            Assert.False(Waits && (Unsent <= ResumeAt || _closed || _canceled), "The flush waits for ever.");
        }

        private void Owe(bool owes)
        {
            if (owes)
            {
                Assert.True(Waits, "A resume is owed to somebody who does not wait.");
                _owed++;
                Assert.Equal(1, _owed);
            }
        }
    }
}
