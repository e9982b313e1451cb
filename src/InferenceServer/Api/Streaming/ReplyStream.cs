using InferenceServer.Chat;
using InferenceServer.Operations;

namespace InferenceServer.Api.Streaming;

/// <summary>The end of a reply's way: from the last stage through a dialect's encoder.</summary>
internal static class ReplyStream
{
    /// <summary>Streams the replies of a turn to its client until they end or the client is gone.</summary>
    /// <param name="store">As in <see cref="ChatTurn.Replies"/>.</param>
    /// <exception cref="RequestProblem">The request failed before its first event.</exception>
    public static Task WriteAsync(HttpContext http, SseBuffer buffer, ChatTurn turn, IReplyEncoder encoder, TimeProvider clock, Func<WholeReply[], Task>? store = null)
    {
        EventStream stream = new(http, buffer, clock, encoder.ContentType, () => buffer.Raw(encoder.KeepAlive));
        ReplyRead read = new(turn.Replies(whole: false, store), turn.Generations.Count, encoder);
        return stream.RunAsync(read.WaitAsync, () =>
        {
            read.Write();
            if (read.Problem is not { } problem)
                return;
            if (!stream.HasStarted && !buffer.Pending)
                throw problem;
            RequestTrace.Of(http).Failed(problem, ErrorWriter.Explain(http.Request, problem));
            encoder.Error(problem);
        });
    }

    /// <summary>Reads the replies of a turn to their ends, through an encoder that no connection hangs on.</summary>
    /// <exception cref="RequestProblem">A choice failed.</exception>
    public static async Task ReadAsync(ChatTurn turn, IReplyEncoder encoder)
    {
        ReplyRead read = new(turn.Replies(whole: false), turn.Generations.Count, encoder);
        for (bool open = true; open;)
        {
            open = await read.WaitAsync();
            read.Write();
            if (read.Problem is { } problem)
                throw problem;
        }
    }

    /// <summary>Takes what the last stage gives, and writes it when it is told to.</summary>
    private sealed class ReplyRead(IReplySource replies, int choices, IReplyEncoder encoder)
    {
        private readonly List<ReplyEvent> _events = [];
        private readonly ReplyEnd[] _ends = new ReplyEnd[choices];
        private bool _open = true;

        /// <summary>Why no more will come, where that is not because all is there.</summary>
        public RequestProblem? Problem { get; private set; }

        public async ValueTask<bool> WaitAsync()
        {
            _events.Clear();
            try
            {
                return _open = await replies.ReadAsync(_events);
            }
            catch (RequestProblem problem)
            {
                // What came before it is written, too.
                Problem = problem;
                return false;
            }
        }

        public void Write()
        {
            foreach (ReplyEvent read in _events)
            {
                if (read.End is { } end)
                    _ends[read.Choice] = end;
                encoder.Write(read);
            }

            if (!_open)
                encoder.End(_ends);
        }
    }
}
