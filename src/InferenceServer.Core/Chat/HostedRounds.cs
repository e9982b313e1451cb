// The stage of tools that the server runs itself: a reply that calls them is a turn of several rounds. Each is a generation of its own, and is taken apart as any
// other. The rounds' events pass as one reply. Always: a call is told before it runs and its result before the next round, one call at a time; the choice ends once.

using System.Text;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;
using InferenceServer.Moderation;

namespace InferenceServer.Chat;

/// <summary>One generation of a turn, and its events.</summary>
internal sealed record ReplyRound(GenerationSet Generations, IReplySource Replies);

/// <summary>Reads round after round of one choice, and runs what each calls.</summary>
internal sealed class HostedRounds : IReplySource, IDisposable
{
    private readonly HostedTools _hosted;
    private readonly int _maxResultCharacters;
    private readonly TurnModeration? _moderation;
    private readonly Func<ChatRequest, Task<ReplyRound>> _begin;
    private readonly CancellationTokenSource _stop;
    private readonly CancellationTokenSource _time;
    private readonly CancellationTokenSource _either;
    private readonly long _started;
    private readonly TimeSpan? _timeout;
    private readonly int? _maxTokens;

    private readonly List<ReplyEvent> _read = [];
    private readonly List<RoundCall> _calls = [];
    private readonly StringBuilder _text = new();
    private readonly StringBuilder _reasoning = new();
    private readonly Queue<(HostedCall Call, Task<HostedResult> Result)> _running = new();
    private readonly HashSet<ReplyDeltaKind> _said = [], _resumed = [];
    private ChatRequest _request;
    private ReplyRound? _round;
    private ReplyEnd? _end;
    private ReplyEnd? _total;
    private bool _begun;
    private bool _stopped;
    private TimeSpan _toolTime;
    private long _toolsStarted;
    private int _rounds;
    private int _made;

    /// <param name="first">Null where calls that were approved have to run before it.</param>
    /// <param name="begin">Begins a round.</param>
    public HostedRounds(ChatRequest request, int contextLength, TurnModeration? moderation, ReplyRound? first, Func<ChatRequest, Task<ReplyRound>> begin, CancellationToken aborted)
    {
        (_request, _hosted, _moderation, _round, _begin) = (request, request.Hosted!, moderation, first, begin);
        // A token is some four characters: a result takes about a quarter of the context at most.
        (_timeout, _maxTokens, _maxResultCharacters) = (request.Options.Timeout, request.Options.MaxOutputTokens, contextLength);
        _started = _hosted.Clock.GetTimestamp();
        _stop = CancellationTokenSource.CreateLinkedTokenSource(aborted);
        _time = new CancellationTokenSource(Timeout.InfiniteTimeSpan, _hosted.Clock);
        _either = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token, _time.Token);
    }

    /// <summary>A call of the round that is being read.</summary>
    /// <param name="Tool">Null for a tool of the client's, whose calls are numbered by <paramref name="Own"/>.</param>
    private sealed record RoundCall(string Id, string Name, HostedTool? Tool, int Own)
    {
        public StringBuilder Arguments { get; } = new();

        public bool IsWhole { get; set; }
    }

    /// <summary>Ends it early, as <see cref="GenerationSet.Stop"/> does.</summary>
    public void Stop()
    {
        _stopped = true;
        _round?.Generations.Stop(0);
        _stop.Cancel();
    }

    public async ValueTask<bool> ReadAsync(List<ReplyEvent> into)
    {
        if (_running.Count > 0)
            return await TakeResultAsync(into);
        if (_round is null)
        {
            Begin(into);
            return Run(_hosted.Approved, into);
        }

        _read.Clear();
        bool open;
        try
        {
            open = await _round.Replies.ReadAsync(_read);
        }
        finally
        {
            foreach (ReplyEvent read in _read)
                Take(read, into);
        }

        return open || await EndRoundAsync(into);
    }

    public void Dispose()
    {
        _stop.Cancel();
        _round?.Generations.Dispose();
        _either.Dispose();
        _time.Dispose();
        _stop.Dispose();
    }

    private void Begin(List<ReplyEvent> into)
    {
        if (!_begun)
            into.Add(ReplyEvent.Begins(0));
        _begun = true;
    }

    private void Take(in ReplyEvent read, List<ReplyEvent> into)
    {
        if (read.Kind == ReplyEventKind.Begin)
            Begin(into);
        else if (read.Kind == ReplyEventKind.Finish)
            _end = read.End;
        else
            Take(read.Delta, read.Logprobs, into);
    }

    private void Take(in ReplyDelta delta, TokenLogprobs? logprobs, List<ReplyEvent> into)
    {
        if (delta.Kind is ReplyDeltaKind.Content or ReplyDeltaKind.Reasoning)
        {
            (delta.Kind == ReplyDeltaKind.Content ? _text : _reasoning).Append(delta.Text);
            ReplyEvent says = ReplyEvent.Says(0, delta, logprobs);
            into.Add(delta.Text.Length > 0 && _resumed.Remove(delta.Kind) ? says.AsResumed() : says);
            if (delta.Text.Length > 0)
                _said.Add(delta.Kind);
            return;
        }

        if (delta.Kind == ReplyDeltaKind.CallBegin)
            _calls.Add(new RoundCall(delta.Id!, delta.Text, _hosted.Find(delta.Text), _calls.Count(call => call.Tool is null)));
        RoundCall call = _calls[delta.Call];
        if (delta.Kind == ReplyDeltaKind.CallArguments)
            call.Arguments.Append(delta.Text);
        call.IsWhole |= delta.Kind == ReplyDeltaKind.CallEnd;
        if (call.Tool is null)
            into.Add(ReplyEvent.Says(0, delta with { Call = call.Own }, logprobs));
        else if (logprobs is not null)
            into.Add(ReplyEvent.Says(0, new ReplyDelta(ReplyDeltaKind.Content, ""), logprobs));
    }

    /// <summary>A round has ended: what it calls is run, or the reply has ended with it.</summary>
    private async ValueTask<bool> EndRoundAsync(List<ReplyEvent> into)
    {
        _total = Sum(_total, _end!);
        HostedCall[] calls = [.. _calls.Where(call => call is { Tool: not null, IsWhole: true }).Select(call => new HostedCall(call.Id, call.Tool!, ArgumentsOf(call)))];
        if (_stopped || _end!.Finish != ReplyFinish.ToolCalls || calls.Length == 0)
            return End(into, _end!.Finish);
        HostedCall[] runs = [.. calls.Where(call => !call.AwaitsApproval)];
        if (runs.Length > 0)
            _request = _request with
            {
                Messages =
                [
                    .. _request.Messages,
                    new ChatMessage
                    {
                        Role = ChatRole.Assistant,
                        Text = _text.Length > 0 ? _text.ToString() : null,
                        Reasoning = _reasoning.Length > 0 ? _reasoning.ToString() : null,
                        ToolCalls = [.. runs.Select(call => new ChatToolCall(call.Id, call.Tool.Offered.Name, call.Arguments))],
                    },
                    .. runs.Select(call => new ChatMessage { Role = ChatRole.Tool, Text = "", ToolCallId = call.Id }),
                ],
            };
        foreach (HostedCall call in calls.Where(call => call.AwaitsApproval))
            into.Add(ReplyEvent.Calls(0, call));
        return runs.Length > 0 ? Run(runs, into) : await GoOnAsync(into);
    }

    private static string ArgumentsOf(RoundCall call) => call.Arguments.Length > 0 ? call.Arguments.ToString() : "{}";

    /// <summary>All calls of a round run at once; they are told of in their order.</summary>
    private bool Run(IReadOnlyList<HostedCall> calls, List<ReplyEvent> into)
    {
        _toolsStarted = _hosted.Clock.GetTimestamp();
        TimeSpan left = _hosted.Limits.Time - _toolTime, rest = _timeout - _hosted.Clock.GetElapsedTime(_started) ?? left;
        _time.CancelAfter(TimeSpan.FromTicks(Math.Max(0, Math.Min(left.Ticks, rest.Ticks))));
        foreach (HostedCall call in calls)
            _running.Enqueue((call, _made++ < _hosted.Limits.MaxCalls
                ? RunAsync(call)
                : Task.FromResult(HostedResult.Error($"Not run: this request may make {_hosted.Limits.MaxCalls} tool calls at most."))));
        return Announce(into);
    }

    private bool Announce(List<ReplyEvent> into)
    {
        into.Add(ReplyEvent.Calls(0, _running.Peek().Call));
        return true;
    }

    private async Task<HostedResult> RunAsync(HostedCall call)
    {
        try
        {
            HostedResult result = await call.Tool.Run(call.Arguments, _either.Token);
            if (_moderation is not null && await _moderation.WithholdsAsync(result.Text))
                return HostedResult.Error("The tool's result is withheld: the server's moderation did not let it pass.");
            return result with { Text = Cut(result.Text) };
        }
        catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
        {
            return HostedResult.Error("Not finished: the time that this request has for its tools is over.");
        }
    }

    private string Cut(string text)
    {
        if (text.Length <= _maxResultCharacters)
            return text;
        int end = char.IsHighSurrogate(text[_maxResultCharacters - 1]) ? _maxResultCharacters - 1 : _maxResultCharacters;
        return $"{text.AsSpan(0, end)}\n[cut here: the model's context has no room for more]";
    }

    private async ValueTask<bool> TakeResultAsync(List<ReplyEvent> into)
    {
        (HostedCall call, Task<HostedResult> running) = _running.Peek();
        HostedResult result;
        try
        {
            result = await running;
        }
        catch (OperationCanceledException)
        {
            return _stopped ? End(into, ReplyFinish.Stop) : throw GenerationOutcome.Cancelled();
        }

        _running.Dequeue();
        if (_running.Count == 0)
        {
            _time.CancelAfter(Timeout.InfiniteTimeSpan);
            _toolTime += _hosted.Clock.GetElapsedTime(_toolsStarted);
        }

        into.Add(ReplyEvent.Answers(0, call with { Result = result }));
        _request = _request with
        {
            Messages = [.. _request.Messages.Select(message => message.Role == ChatRole.Tool && message.ToolCallId == call.Id ? message with { Text = result.Text } : message)],
        };
        return _running.Count > 0 ? Announce(into) : await GoOnAsync(into);
    }

    /// <summary>Everything that runs here has: the model goes on, unless others have to answer first, or nothing is left to go on with.</summary>
    private async ValueTask<bool> GoOnAsync(List<ReplyEvent> into)
    {
        TimeSpan elapsed = _hosted.Clock.GetElapsedTime(_started);
        int? tokens = _maxTokens - (_total?.Result.CompletionTokens ?? 0);
        if (_calls.Exists(call => call.IsWhole && (call.Tool is not { } tool || tool.NeedsApproval)))
            return End(into, ReplyFinish.ToolCalls);
        if (_stopped || tokens <= 0 || elapsed >= _timeout)
            return End(into, ReplyFinish.Length);
        bool isLast = ++_rounds >= _hosted.Limits.MaxRounds || _made >= _hosted.Limits.MaxCalls || _time.IsCancellationRequested;
        _round?.Generations.Dispose();
        try
        {
            _round = await _begin(Next(tokens, _timeout - elapsed, isLast));
        }
        catch (RequestProblem problem) when (problem.Overflow is not null && _total is not null)
        {
            // What was said stands: the context is full, as it may be in the midst of any reply.
            return End(into, ReplyFinish.Length);
        }

        (_end, _text.Length, _reasoning.Length) = (null, 0, 0);
        _calls.Clear();
        _resumed.UnionWith(_said);
        return true;
    }

    /// <summary>The next round's request.</summary>
    /// <param name="isLast">The model is not told of these tools any more.</param>
    private ChatRequest Next(int? tokens, TimeSpan? timeout, bool isLast) => _request = _request with
    {
        Tools = isLast ? [.. _request.Tools.Where(tool => _hosted.Find(tool.Name) is null)] : _request.Tools,
        // Who asked for a call has had one.
        ToolChoice = _total is null || _request.ToolChoice.Mode is ToolMode.Auto or ToolMode.None ? _request.ToolChoice
            : new ToolChoice(ToolMode.Auto, _request.ToolChoice.Mode == ToolMode.Required ? _request.ToolChoice.Names : null),
        Prediction = null,
        Options = _request.Options with { MaxOutputTokens = tokens, Timeout = timeout },
    };

    private bool End(List<ReplyEvent> into, ReplyFinish finish)
    {
        _running.Clear();
        into.Add(ReplyEvent.Ends(0, (_total ?? Nothing()) with { Finish = finish }));
        return false;
    }

    /// <summary>A reply that ended before its first round.</summary>
    private static ReplyEnd Nothing() => new(new GenerationResult { FinishReason = FinishReason.Stop, PromptTokens = 0, CachedTokens = 0, CompletionTokens = 0 }, ReplyFinish.Stop, 0);

    /// <summary>What all rounds cost together. How it ended is the last one's matter.</summary>
    private static ReplyEnd Sum(ReplyEnd? before, ReplyEnd last)
    {
        if (before is null)
            return last;
        (GenerationResult a, GenerationResult b) = (before.Result, last.Result);
        return last with
        {
            ReasoningTokens = before.ReasoningTokens + last.ReasoningTokens,
            Result = b with
            {
                PromptTokens = a.PromptTokens + b.PromptTokens,
                CachedTokens = a.CachedTokens + b.CachedTokens,
                CompletionTokens = a.CompletionTokens + b.CompletionTokens,
                AcceptedPredictionTokens = a.AcceptedPredictionTokens + b.AcceptedPredictionTokens,
                RejectedPredictionTokens = a.RejectedPredictionTokens + b.RejectedPredictionTokens,
                Preemptions = a.Preemptions + b.Preemptions,
                Timing = b.Timing with
                {
                    QueueSeconds = a.Timing.QueueSeconds + b.Timing.QueueSeconds,
                    PrefillSeconds = a.Timing.PrefillSeconds + b.Timing.PrefillSeconds,
                    DecodeSeconds = a.Timing.DecodeSeconds + b.Timing.DecodeSeconds,
                },
                Cache = b.Cache with { HostTokens = a.Cache.HostTokens + b.Cache.HostTokens, DiskTokens = a.Cache.DiskTokens + b.Cache.DiskTokens },
            },
        };
    }
}
