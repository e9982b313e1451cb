using InferenceServer.Chat.Replies;
using InferenceServer.Engine;

namespace InferenceServer.Chat;

/// <summary>How a reply ended, as everybody tells it apart.</summary>
public enum ReplyFinish
{
    /// <summary>By itself, or at a stop sequence.</summary>
    Stop,

    /// <summary>At a limit of tokens or of time.</summary>
    Length,

    /// <summary>It calls.</summary>
    ToolCalls,

    /// <summary>Moderation did not let it pass.</summary>
    ContentFilter,
}

/// <summary>How one choice ended.</summary>
/// <param name="ReasoningTokens">Tokens of reasoning, its markers included.</param>
public sealed record ReplyEnd(GenerationResult Result, ReplyFinish Finish, int ReasoningTokens);

public enum ReplyEventKind
{
    /// <summary>A choice's first event.</summary>
    Begin,

    /// <summary>More of a choice's reply.</summary>
    Delta,

    /// <summary>A choice has ended as it should.</summary>
    Finish,
}

/// <summary>What happens to a reply on its way from the engine to whoever asked.</summary>
public readonly record struct ReplyEvent
{
    private ReplyEvent(ReplyEventKind kind, int choice) => (Kind, Choice) = (kind, choice);

    public ReplyEventKind Kind { get; }

    /// <summary>From 0.</summary>
    public int Choice { get; }

    /// <summary>Content may be empty where only log probabilities came.</summary>
    public ReplyDelta Delta { get; private init; }

    /// <summary>Of the token that came with it; given with one delta only, whatever that holds of the token's text.</summary>
    public TokenLogprobs? Logprobs { get; private init; }

    /// <summary>Of <see cref="ReplyEventKind.Finish"/>.</summary>
    public ReplyEnd? End { get; private init; }

    public static ReplyEvent Begins(int choice) => new(ReplyEventKind.Begin, choice);

    public static ReplyEvent Says(int choice, in ReplyDelta delta, TokenLogprobs? logprobs) => new(ReplyEventKind.Delta, choice) { Delta = delta, Logprobs = logprobs };

    public static ReplyEvent Ends(int choice, ReplyEnd end) => new(ReplyEventKind.Finish, choice) { End = end };
}
