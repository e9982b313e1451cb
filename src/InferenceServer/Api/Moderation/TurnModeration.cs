using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;
using InferenceServer.Moderation;
using InferenceServer.Operations;

namespace InferenceServer.Api.Moderation;

/// <summary>
/// What moderation does in one chat turn: it judges the conversation before the model runs, and each reply as it comes. System and developer messages are the
/// application's own and are not judged; the rest is, earlier turns included, since a client can write them as it likes. Belongs to the request's task.
/// </summary>
internal sealed class TurnModeration
{
    private readonly ModerationGate _gate;
    private readonly ModerationRules _rules;
    private readonly RequestTrace _trace;
    private readonly ModerationMode _outputMode;
    private readonly ModerationVerdict? _input;
    private readonly CancellationToken _aborted;
    private ReplyModerator[] _replies = [];

    private TurnModeration(ModerationGate gate, ModerationVerdict? input, ModerationMode outputMode, RequestTrace trace, CancellationToken aborted) =>
        (_gate, _rules, _input, _outputMode, _trace, _aborted) = (gate, gate.Rules, input, outputMode, trace, aborted);

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
        ModerationVerdict? input = inputMode == ModerationMode.Off ? null : await CheckAsync(request, gate, trace, aborted);
        bool refuses = inputMode == ModerationMode.Refuse && input!.IsFlagged;
        if (input is not null)
            trace.Moderated(gate.Rules, input, "input", refuses);
        return new(gate, input, outputMode, trace, aborted) { RefusesInput = refuses };
    }

    public void Begin(int choices)
    {
        _replies = new ReplyModerator[choices];
        for (int i = 0; i < choices; i++)
            _replies[i] = new ReplyModerator(_gate, RefusesInput ? ModerationMode.Off : _outputMode);
    }

    public bool IsRefused(int choice) => RefusesInput || _replies[choice].IsRefused;

    /// <summary>As <see cref="ReplyModerator.Append"/>.</summary>
    public ReplyStep Append(int choice, in ReplyDelta delta) => RefusesInput ? ReplyStep.Hold : _replies[choice].Append(delta);

    /// <summary>The choice has ended. As <see cref="ReplyModerator.Finish"/>; once a choice.</summary>
    public ReplyStep Finish(int choice) => RefusesInput ? ReplyStep.Hold : _replies[choice].Finish();

    /// <summary>Lets the model judge what has to wait for it. Null where nothing has; until the task has ended nothing is to be appended.</summary>
    /// <returns>Fails with an <see cref="ApiException"/> when it could not be judged: then it is not to be shown.</returns>
    public Task? JudgeAsync() => !RefusesInput && Array.Exists(_replies, static reply => reply.IsDue) ? JudgeDueAsync() : null;

    /// <summary>The verdict on a choice that has ended is there. Once a choice.</summary>
    public void Close(int choice)
    {
        if (!RefusesInput && _outputMode != ModerationMode.Off)
            _trace.Moderated(_rules, _replies[choice].Verdict, "output", _replies[choice].IsRefused);
    }

    /// <summary>What is said instead of a refused reply.</summary>
    public string Refusal(int choice) => _rules.RefusalOf(RefusesInput ? _input! : _replies[choice].Verdict);

    /// <summary>How a choice ended, refusals considered.</summary>
    public ChatReplyEnd EndOf(int choice, ChatReplyEnd end) => IsRefused(choice) ? end with { FinishReason = "content_filter" } : end;

    /// <summary>What to report once every choice has ended.</summary>
    public ChatModeration Report() => new(
        ChatModerationResults.Of(_rules, _gate.Id, _input is null ? [] : [_input]),
        ChatModerationResults.Of(_rules, _gate.Id, RefusesInput || _outputMode == ModerationMode.Off ? [] : _replies.Select(reply => reply.Verdict)));

    private async Task JudgeDueAsync()
    {
        try
        {
            await Task.WhenAll(_replies.Where(static reply => reply.IsDue).Select(reply => reply.JudgeAsync(_aborted)));
        }
        catch (OperationCanceledException)
        {
            throw GenerationOutcome.Cancelled();
        }
        catch (Exception error)
        {
            _trace.Unjudged("output");
            // The reply is there, and what became of it is no matter of the queue that the request itself stood in.
            if (error is EngineQueueFullException or EngineUnavailableException)
                throw new ApiException(StatusCodes.Status503ServiceUnavailable, $"The moderation model could not judge the reply: {error.Message}", ErrorTypes.Server, code: "moderation_failed");
            throw;
        }
    }

    private static async Task<ModerationVerdict> CheckAsync(ChatCompletionRequest request, ModerationGate gate, RequestTrace trace, CancellationToken aborted)
    {
        try
        {
            return await gate.CheckAsync(TextOf(request), aborted);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            trace.Unjudged("input");
            throw;
        }
    }

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
