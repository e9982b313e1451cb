using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Chat.Replies;
using InferenceServer.Moderation;
using InferenceServer.Operations;

namespace InferenceServer.Api.Moderation;

/// <summary>
/// What moderation does in one chat turn: it judges the conversation before the model runs, and by the rules alone each reply as it comes. System and developer messages are the
/// application's own and are not judged; the rest is, earlier turns included, since a client can write them as it likes. Belongs to the request's task.
/// </summary>
internal sealed class TurnModeration
{
    private readonly ModerationGate _gate;
    private readonly ModerationRules _rules;
    private readonly RequestTrace _trace;
    private readonly ModerationMode _outputMode;
    private readonly ModerationVerdict? _input;
    private ReplyModerator[] _replies = [];

    private TurnModeration(ModerationGate gate, ModerationVerdict? input, ModerationMode outputMode, RequestTrace trace) =>
        (_gate, _rules, _input, _outputMode, _trace) = (gate, gate.Rules, input, outputMode, trace);

    /// <summary>True when the model is not to run.</summary>
    public bool RefusesInput { get; private init; }

    /// <summary>Judges what goes in. Null when neither the server nor the request wants moderation.</summary>
    /// <exception cref="ApiException">The request names a moderation model that is not here.</exception>
    public static async Task<TurnModeration?> OfAsync(ChatCompletionRequest request, ModerationGate gate, RequestTrace trace, CancellationToken aborted)
    {
        if (request.Moderation is { } asked)
            ModerationEndpoint.RequireModel(gate, asked.Model, "moderation.model");
        ModerationMode inputMode = Stricter(gate.Mode, request.Moderation, request.Moderation?.Policy?.Input);
        ModerationMode outputMode = Stricter(gate.Mode, request.Moderation, request.Moderation?.Policy?.Output);
        if (inputMode == ModerationMode.Off && outputMode == ModerationMode.Off)
            return null;
        ModerationVerdict? input = inputMode == ModerationMode.Off ? null : await gate.CheckAsync(TextOf(request), aborted);
        bool refuses = inputMode == ModerationMode.Refuse && input!.IsFlagged;
        if (input is not null)
            trace.Moderated(gate.Rules, input, "input", refuses);
        return new(gate, input, outputMode, trace) { RefusesInput = refuses };
    }

    public void Begin(int choices)
    {
        _replies = new ReplyModerator[choices];
        for (int i = 0; i < choices; i++)
            _replies[i] = new ReplyModerator(_rules, RefusesInput ? ModerationMode.Off : _outputMode);
    }

    public bool IsRefused(int choice) => RefusesInput || _replies[choice].IsRefused;

    /// <summary>As <see cref="ReplyModerator.Append"/>.</summary>
    public bool Append(int choice, in ReplyDelta delta) => !RefusesInput && _replies[choice].Append(delta);

    /// <summary>The choice has ended. As <see cref="ReplyModerator.Finish"/>; once a choice.</summary>
    public bool Finish(int choice)
    {
        if (RefusesInput)
            return false;
        bool mayShow = _replies[choice].Finish();
        if (_outputMode != ModerationMode.Off)
            _trace.Moderated(_rules, _replies[choice].Verdict, "output", _replies[choice].IsRefused);
        return mayShow;
    }

    /// <summary>What is said instead of a refused reply.</summary>
    public string Refusal(int choice) => _rules.RefusalOf(RefusesInput ? _input! : _replies[choice].Verdict);

    /// <summary>How a choice ended, refusals considered.</summary>
    public ChatReplyEnd EndOf(int choice, ChatReplyEnd end) => IsRefused(choice) ? end with { FinishReason = "content_filter" } : end;

    /// <summary>What to report once every choice has ended.</summary>
    public ChatModeration Report() => new(
        ChatModerationResults.Of(_rules, _gate.Id, _input is null ? [] : [_input]),
        ChatModerationResults.Of(_rules, _rules.Id, RefusesInput || _outputMode == ModerationMode.Off ? [] : _replies.Select(reply => reply.Verdict)));

    /// <summary>The server's own setting is the least; a request that asks without a policy wants scores.</summary>
    private static ModerationMode Stricter(ModerationMode server, ChatModerationOptions? asked, ChatModerationMode? policy)
    {
        ModerationMode wanted = policy?.Mode == "block" ? ModerationMode.Refuse : asked is null ? ModerationMode.Off : ModerationMode.Flag;
        return wanted > server ? wanted : server;
    }

    private static string TextOf(ChatCompletionRequest request) => string.Join('\n', request.Messages
        .Where(message => message.Role is not ("system" or "developer"))
        .SelectMany(message => (string?[])[message.Name, message.ReasoningContent, message.Content, .. message.ToolCalls?.Select(call => call.Function.Arguments) ?? []])
        .OfType<string>());
}
