using InferenceServer.Chat;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;

namespace InferenceServer.Moderation;

/// <summary>What a request asks of moderation.</summary>
/// <param name="Model">The rules' name, or one that means them.</param>
/// <param name="Input">Least that is done about what goes in.</param>
/// <param name="Output">Least that is done about the reply.</param>
internal sealed record ModerationAsked(string Model, ModerationMode Input, ModerationMode Output);

/// <summary>What moderation says of a turn.</summary>
/// <param name="Judge">The name of what judged: the rules, or the rules and a model.</param>
/// <param name="Input">Null where it was not judged.</param>
/// <param name="Output">One a choice; empty where they were not judged.</param>
internal sealed record ModerationReport(ModerationRules Rules, string Judge, ModerationVerdict? Input, IReadOnlyList<ModerationVerdict> Output);

/// <summary>
/// What moderation does in one chat turn: it judges the conversation before the model runs, and each reply as it comes. System and developer messages are the
/// application's own and are not judged; the rest is, earlier turns included, since a client can write them as it likes. Belongs to the request's task.
/// </summary>
internal sealed class TurnModeration
{
    private readonly ModerationGate _gate;
    private readonly ModerationRules _rules;
    private readonly ITurnObserver? _observer;
    private readonly ModerationMode _inputMode, _outputMode;
    private readonly ModerationVerdict? _input;
    private readonly CancellationToken _aborted;
    private ReplyModerator[] _replies = [];

    private TurnModeration(ModerationGate gate, ModerationVerdict? input, ModerationMode inputMode, ModerationMode outputMode, ITurnObserver? observer, CancellationToken aborted) =>
        (_gate, _rules, _input, _inputMode, _outputMode, _observer, _aborted) = (gate, gate.Rules, input, inputMode, outputMode, observer, aborted);

    /// <summary>True when the model is not to run.</summary>
    public bool RefusesInput { get; private init; }

    /// <summary>Judges what goes in. Null when neither the server nor the request wants moderation.</summary>
    /// <exception cref="RequestProblem">The request names a moderation model that is not here.</exception>
    public static async Task<TurnModeration?> OfAsync(ChatRequest request, ModerationGate gate, ITurnObserver? observer, CancellationToken aborted)
    {
        if (request.Moderation is { } asked)
            gate.Require(asked.Model, "moderation.model");
        ModerationMode inputMode = Stricter(gate.Mode, request.Moderation?.Input);
        ModerationMode outputMode = Stricter(gate.Mode, request.Moderation?.Output);
        if (inputMode == ModerationMode.Off && outputMode == ModerationMode.Off)
            return null;
        ModerationVerdict? input = inputMode == ModerationMode.Off ? null : await CheckAsync(TextOf(request), gate, observer, aborted);
        bool refuses = inputMode == ModerationMode.Refuse && input!.IsFlagged;
        if (input is not null)
            observer?.Moderated(gate.Rules, input, "input", refuses);
        return new(gate, input, inputMode, outputMode, observer, aborted) { RefusesInput = refuses };
    }

    /// <summary>Judges a text that comes in on the way, such as a tool's result. It is no part of the report.</summary>
    /// <returns>Whether the model is not to be given it.</returns>
    public async Task<bool> WithholdsAsync(string text)
    {
        if (_inputMode == ModerationMode.Off)
            return false;
        ModerationVerdict verdict = await CheckAsync(text, _gate, _observer, _aborted);
        bool withholds = _inputMode == ModerationMode.Refuse && verdict.IsFlagged;
        _observer?.Moderated(_rules, verdict, "input", withholds);
        return withholds;
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

    /// <summary>Something waits for the model to judge it.</summary>
    public bool IsDue => !RefusesInput && Array.Exists(_replies, static reply => reply.IsDue);

    /// <summary>Lets the model judge what has to wait for it. Null where nothing has; until the task has ended nothing is to be appended.</summary>
    /// <returns>Fails with an <see cref="RequestProblem"/> when it could not be judged: then it is not to be shown.</returns>
    public Task? JudgeAsync() => IsDue ? JudgeDueAsync() : null;

    /// <summary>The verdict on a choice that has ended is there. Once a choice.</summary>
    public void Close(int choice)
    {
        if (!RefusesInput && _outputMode != ModerationMode.Off)
            _observer?.Moderated(_rules, _replies[choice].Verdict, "output", _replies[choice].IsRefused);
    }

    /// <summary>What is said instead of a refused reply.</summary>
    public string Refusal(int choice) => _rules.RefusalOf(RefusesInput ? _input! : _replies[choice].Verdict);

    /// <summary>How a choice ended, refusals considered.</summary>
    public ReplyEnd EndOf(int choice, ReplyEnd end) => IsRefused(choice) ? end with { Finish = ReplyFinish.ContentFilter } : end;

    /// <summary>What to report once every choice has ended.</summary>
    public ModerationReport Report() => new(_rules, _gate.Id, _input, RefusesInput || _outputMode == ModerationMode.Off ? [] : [.. _replies.Select(reply => reply.Verdict)]);

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
            _observer?.Unjudged("output");
            // The reply is there, and what became of it is no matter of the queue that the request itself stood in.
            if (error is EngineQueueFullException or EngineUnavailableException)
                throw new RequestProblem(ProblemKind.Unavailable, $"The moderation model could not judge the reply: {error.Message}", code: "moderation_failed");
            throw;
        }
    }

    private static async Task<ModerationVerdict> CheckAsync(string text, ModerationGate gate, ITurnObserver? observer, CancellationToken aborted)
    {
        try
        {
            return await gate.CheckAsync(text, aborted);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            observer?.Unjudged("input");
            throw;
        }
    }

    /// <summary>The server's own setting is the least.</summary>
    private static ModerationMode Stricter(ModerationMode server, ModerationMode? asked) => asked > server ? asked.Value : server;

    private static string TextOf(ChatRequest request) => string.Join('\n', request.Messages
        .Where(message => !message.Role.Instructs())
        .SelectMany(message => (string?[])[message.AuthorName, message.Reasoning, message.Text, .. message.ToolCalls?.Select(call => call.Arguments) ?? []])
        .OfType<string>());
}
