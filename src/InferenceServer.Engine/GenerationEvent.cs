// The messages that leave the engine: written by the decode thread into a request's channel, read by its HTTP task.

namespace InferenceServer.Engine;

public enum GenerationEventKind
{
    /// <summary>One or more tokens; <see cref="GenerationEvent.Text"/> may be empty while a character or a stop string is incomplete.</summary>
    Token,

    /// <summary>The last event of every generation: <see cref="GenerationEvent.Result"/> is set, and <see cref="GenerationEvent.Text"/> holds what was held back.</summary>
    Finished,
}

/// <summary>What happened to a generation in one step. Texts joined over all events are the full reply; no text splits a character.</summary>
public readonly record struct GenerationEvent(
    GenerationEventKind Kind, string Text, int Token, TokenLogprobs? Logprobs, GenerationResult? Result);

/// <summary>Log probabilities (natural logarithm) of one generated token, over the distribution before temperature, as OpenAI reports them.</summary>
/// <param name="Token">The token that was taken.</param>
/// <param name="Logprob">Its log probability.</param>
/// <param name="Top">The most likely tokens, best first; as many as were asked for.</param>
public sealed record TokenLogprobs(int Token, float Logprob, IReadOnlyList<TokenLogprob> Top);

public readonly record struct TokenLogprob(int Token, float Logprob);

public enum FinishReason
{
    /// <summary>An end-of-generation token, a stop token or a stop string.</summary>
    Stop,

    /// <summary>MaxTokens or the context length.</summary>
    Length,

    /// <summary>The client went away or asked to stop.</summary>
    Cancelled,

    /// <summary>The request's own deadline passed.</summary>
    DeadlineExceeded,

    /// <summary>The engine could not go on; <see cref="GenerationResult.Error"/> says why.</summary>
    Failed,
}

/// <summary>How a generation ended and what it cost.</summary>
public sealed record GenerationResult
{
    public required FinishReason FinishReason { get; init; }

    /// <summary>Set for <see cref="FinishReason.Failed"/> only.</summary>
    public string? Error { get; init; }

    /// <summary>The stop string that ended the reply, when one did.</summary>
    public string? StopString { get; init; }

    public required int PromptTokens { get; init; }

    /// <summary>Prompt tokens that were not computed for this request because a cache held them.</summary>
    public required int CachedTokens { get; init; }

    public required int CompletionTokens { get; init; }

    public int AcceptedPredictionTokens { get; init; }

    public int RejectedPredictionTokens { get; init; }

    public GenerationTiming Timing { get; init; }

    /// <summary>Why no more of the prompt was reused; for <c>x_cache</c>.</summary>
    public CacheReport Cache { get; init; } = CacheReport.None;

    /// <summary>How often it had to make room for others, and was resumed.</summary>
    public int Preemptions { get; init; }
}

/// <summary>Where the time of a request went, in seconds, and how many sequences its decode steps computed on average, itself included.</summary>
public readonly record struct GenerationTiming(double QueueSeconds, double PrefillSeconds, double DecodeSeconds, double MeanBatch);

/// <summary>What was reused and why not more.</summary>
/// <param name="HostTokens">Of the cached tokens, those restored from host memory.</param>
/// <param name="DiskTokens">Of the cached tokens, those restored from disk.</param>
/// <param name="Reason">Null when all but the last prompt token was reused; else one of <see cref="CacheMissReasons"/>.</param>
/// <param name="DivergedAt">The first prompt token that was not reused.</param>
public sealed record CacheReport(int HostTokens, int DiskTokens, string? Reason, int DivergedAt)
{
    public static CacheReport None { get; } = new(0, 0, null, 0);
}
