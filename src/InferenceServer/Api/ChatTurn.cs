// One chat request on its way through a model, whatever dialect it came in: every chat endpoint translates its body into a ChatCompletionRequest and
// runs that through here, so that tools, reasoning and constraints are the same for all of them.

using System.Text;
using InferenceServer.Api.Moderation;
using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api;

/// <summary>A whole reply: one choice.</summary>
/// <param name="Content">What was said; null when nothing was but calls were made, and when the reply was refused.</param>
/// <param name="Reasoning">What was thought in the open; null when nothing was.</param>
/// <param name="Calls">In the order they were made. The last may be cut off when the reply is.</param>
/// <param name="Logprobs">Of every token, where they were asked for, reasoning and calls included.</param>
internal sealed record ChatTurnReply(string? Content, string? Reasoning, IReadOnlyList<ChatToolCall> Calls, IReadOnlyList<TokenLogprobs> Logprobs, ChatReplyEnd End)
{
    /// <summary>What is said instead, where moderation refused the conversation or the reply; nothing else is there then.</summary>
    public string? Refusal { get; init; }
}

/// <summary>A chat request that was accepted and runs. Disposing cancels what still runs.</summary>
internal sealed class ChatTurn : IDisposable
{
    private readonly RequestTrace _trace;
    private readonly ReplyReader[] _replies;

    private ChatTurn(ServedModel model, IReadOnlyList<GenerationRequest> requests, GenerationSet generations, ReplyReader[] replies, RequestTrace trace)
    {
        (Model, Requests, Generations) = (model, requests, generations);
        (_replies, _trace) = (replies, trace);
        trace.Submitted(generations);
    }

    public ServedModel Model { get; }

    public GenerationSet Generations { get; }

    public RequestTrace Trace => _trace;

    /// <summary>Null where nobody asked for moderation.</summary>
    public TurnModeration? Moderation { get; private init; }

    /// <summary>What the engine was given: a request each choice.</summary>
    public IReadOnlyList<GenerationRequest> Requests { get; }

    /// <summary>Compiles what the reply must obey, renders, tokenizes, lets moderation judge and submits.</summary>
    /// <param name="aborted">The client went away.</param>
    /// <exception cref="ApiException">The request cannot be answered as asked.</exception>
    public static async Task<ChatTurn> StartAsync(ServedModel model, ChatCompletionRequest request, RequestHints hints, RequestTrace trace, CancellationToken aborted)
    {
        string rendered = ChatTranslator.Render(request, model);
        ReplyGuard guard = ReplyGuard.Of(request, model, rendered);
        TokenConstraint? constraint = guard.Constraint is { } source ? await model.Constraints.CompileAsync(source, aborted) : null;
        IReadOnlyList<GenerationRequest> requests = ChatTranslator.Translate(request, model, hints, rendered, constraint, guard.Split is not null);
        trace.Accepted(model.Id, request.Stream, requests);
        ReplyReader[] replies = new ReplyReader[requests.Count];
        for (int i = 0; i < replies.Length; i++)
            replies[i] = new ReplyReader(guard.Split is { } options ? new ReplySplitter(model.Replies.Format, options) : null);
        TurnModeration? moderation = await TurnModeration.OfAsync(request, hints.Moderation, trace, aborted);
        moderation?.Begin(requests.Count);
        GenerationSet generations = moderation is { RefusesInput: true }
            ? GenerationSet.Ended(requests, aborted)
            : GenerationSet.Submit(model.Engine, requests, aborted);
        return new(model, requests, generations, replies, trace) { Moderation = moderation };
    }

    /// <summary>Submits prompts that no template made: their replies are content as they stand.</summary>
    public static ChatTurn StartText(ServedModel model, IReadOnlyList<GenerationRequest> requests, bool stream, RequestTrace trace, CancellationToken aborted)
    {
        trace.Accepted(model.Id, stream, requests);
        ReplyReader[] replies = new ReplyReader[requests.Count];
        for (int i = 0; i < replies.Length; i++)
            replies[i] = new ReplyReader(null);
        return new(model, requests, GenerationSet.Submit(model.Engine, requests, aborted), replies, trace);
    }

    /// <summary>Reads the replies to their ends; one each choice.</summary>
    /// <exception cref="ApiException">A choice failed: there is no answer.</exception>
    public async Task<ChatTurnReply[]> CollectAsync()
    {
        Collected[] collected = new Collected[_replies.Length];
        for (int i = 0; i < collected.Length; i++)
            collected[i] = new();
        GenerationResult[] results = await GenerationCollector.ReadAllAsync(Generations, _trace, (choice, read) =>
        {
            Take(choice, collected[choice], _replies[choice].Read(read.Text, read.Kind == GenerationEventKind.Token ? 1 : 0));
            if (read.Logprobs is { } logprobs)
                collected[choice].Logprobs.Add(logprobs);
        });
        ChatTurnReply[] whole = new ChatTurnReply[results.Length];
        ChatReplyEnd[] ends = new ChatReplyEnd[results.Length];
        for (int i = 0; i < whole.Length; i++)
        {
            Take(i, collected[i], _replies[i].Finish());
            ends[i] = _replies[i].EndOf(results[i]);
            Moderation?.Finish(i);
        }

        if (Moderation?.JudgeAsync() is { } judging)
            await judging;
        for (int i = 0; i < whole.Length; i++)
        {
            Moderation?.Close(i);
            if (Moderation?.IsRefused(i) == true)
                collected[i].Add([new ReplyDelta(ReplyDeltaKind.Refusal, Moderation.Refusal(i))]);
            whole[i] = collected[i].Whole(Moderation?.EndOf(i, ends[i]) ?? ends[i]);
        }

        return whole;
    }

    /// <summary>Reads the replies to their ends through an encoder that no connection hangs on.</summary>
    /// <exception cref="ApiException">A choice failed.</exception>
    public async Task ReadAsync(IChatStreamEncoder encoder)
    {
        ModeratingEncoder? moderating = Moderated(encoder);
        SplittingEncoder splitting = new(moderating ?? encoder, _replies);
        bool[] begun = new bool[_replies.Length];
        GenerationResult[] results = await GenerationCollector.ReadAllAsync(Generations, _trace, (choice, read) =>
        {
            if (!begun[choice])
                splitting.Begin(choice);
            begun[choice] = true;
            splitting.Text(choice, read.Text, read.Kind == GenerationEventKind.Token ? 1 : 0, read.Logprobs);
            if (read.Kind == GenerationEventKind.Finished)
                splitting.Finish(choice, read.Result!);
        }, moderating is null ? null : async () =>
        {
            if (moderating.JudgeAsync() is not { } judging)
                return;
            await judging;
            moderating.Open();
        });
        splitting.End(results);
    }

    private void Take(int choice, Collected collected, ReadOnlySpan<ReplyDelta> deltas)
    {
        collected.Add(deltas);
        if (Moderation is null)
            return;
        foreach (ref readonly ReplyDelta delta in deltas)
            Moderation.Append(choice, delta);
        if (Moderation.IsRefused(choice))
            Generations.Stop(choice);
    }

    /// <summary>Streams the replies through a dialect's encoder until they end or the client is gone.</summary>
    /// <param name="beforeEnd">Awaited once every choice has ended, before the client is told so.</param>
    /// <exception cref="ApiException">The request failed before its first event.</exception>
    public Task StreamAsync(HttpContext http, SseBuffer buffer, IChatStreamEncoder encoder, TimeProvider clock, Func<Task>? beforeEnd = null)
    {
        ModeratingEncoder? moderating = Moderated(encoder);
        return new StreamPump(http, Generations, buffer, new SplittingEncoder(moderating ?? encoder, _replies), _trace, clock, beforeEnd, moderating).RunAsync();
    }

    public void Dispose() => Generations.Dispose();

    private ModeratingEncoder? Moderated(IChatStreamEncoder encoder) => Moderation is null ? null : new ModeratingEncoder(encoder, Moderation, Generations);

    /// <summary>The deltas of one reply, put together.</summary>
    internal sealed class Collected
    {
        private readonly StringBuilder _content = new();
        private readonly StringBuilder _reasoning = new();
        private readonly List<(string Name, string Id, StringBuilder Arguments)> _calls = [];
        private string? _refusal;

        public List<TokenLogprobs> Logprobs { get; } = [];

        public void Add(ReadOnlySpan<ReplyDelta> deltas)
        {
            foreach (ref readonly ReplyDelta delta in deltas)
            {
                if (delta.Kind == ReplyDeltaKind.Content)
                    _content.Append(delta.Text);
                else if (delta.Kind == ReplyDeltaKind.Reasoning)
                    _reasoning.Append(delta.Text);
                else if (delta.Kind == ReplyDeltaKind.CallBegin)
                    _calls.Add((delta.Text, delta.Id!, new StringBuilder()));
                else if (delta.Kind == ReplyDeltaKind.CallArguments)
                    _calls[delta.Call].Arguments.Append(delta.Text);
                else if (delta.Kind == ReplyDeltaKind.Refusal)
                    _refusal = delta.Text;
            }
        }

        public ChatTurnReply Whole(ChatReplyEnd end) => _refusal is not null ? new(null, null, [], [], end) { Refusal = _refusal } : new(
            _content.Length == 0 && _calls.Count > 0 ? null : _content.ToString(),
            _reasoning.Length == 0 ? null : _reasoning.ToString(),
            _calls.ConvertAll(call => new ChatToolCall(call.Id, "function", new ChatFunctionCall(call.Name, call.Arguments.ToString()))),
            Logprobs, end);
    }
}
