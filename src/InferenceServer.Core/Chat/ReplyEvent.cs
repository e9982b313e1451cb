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

    /// <summary>A tool that the server runs itself is called: it runs now, or waits for an approval.</summary>
    HostedCall,

    /// <summary>Its result is there.</summary>
    HostedResult,
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

    /// <summary>Of <see cref="ReplyEventKind.HostedCall"/> and <see cref="ReplyEventKind.HostedResult"/>.</summary>
    public HostedCall? Hosted { get; private init; }

    /// <summary>The first text of its kind after calls that the server ran, and there was some before: whoever makes one text of all begins a paragraph.</summary>
    public bool Resumes { get; private init; }

    /// <summary>The delta's text, as it goes on in one text.</summary>
    public string JoinedText => Resumes ? "\n\n" + Delta.Text : Delta.Text;

    public static ReplyEvent Begins(int choice) => new(ReplyEventKind.Begin, choice);

    public static ReplyEvent Says(int choice, in ReplyDelta delta, TokenLogprobs? logprobs) => new(ReplyEventKind.Delta, choice) { Delta = delta, Logprobs = logprobs };

    public static ReplyEvent Calls(int choice, HostedCall call) => new(ReplyEventKind.HostedCall, choice) { Hosted = call };

    public static ReplyEvent Answers(int choice, HostedCall call) => new(ReplyEventKind.HostedResult, choice) { Hosted = call };

    public ReplyEvent AsResumed() => this with { Resumes = true };

    public static ReplyEvent Ends(int choice, ReplyEnd end) => new(ReplyEventKind.Finish, choice) { End = end };
}
