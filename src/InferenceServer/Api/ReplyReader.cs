using System.Runtime.InteropServices;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;

namespace InferenceServer.Api;

/// <summary>How one choice of a chat request ended.</summary>
/// <param name="FinishReason">OpenAI's name: stop, length, tool_calls or content_filter.</param>
/// <param name="ReasoningTokens">Tokens of reasoning, its markers included.</param>
internal sealed record ChatReplyEnd(GenerationResult Result, string FinishReason, int ReasoningTokens);

/// <summary>One choice's text as it comes, split where the model's format says so. What it returns is valid until the next call.</summary>
/// <param name="splitter">Null when the reply is nothing but content: text then passes as it is.</param>
internal sealed class ReplyReader(ReplySplitter? splitter)
{
    private readonly List<ReplyDelta> _deltas = [];

    /// <param name="tokens">How many tokens the text is: 0 for text that was held back until the end.</param>
    public ReadOnlySpan<ReplyDelta> Read(string text, int tokens)
    {
        _deltas.Clear();
        if (splitter is not null)
            splitter.Append(text, _deltas, tokens);
        else if (text.Length > 0)
            _deltas.Add(new(ReplyDeltaKind.Content, text));
        return CollectionsMarshal.AsSpan(_deltas);
    }

    /// <summary>Nothing more will come.</summary>
    public ReadOnlySpan<ReplyDelta> Finish()
    {
        _deltas.Clear();
        splitter?.Finish(_deltas);
        return CollectionsMarshal.AsSpan(_deltas);
    }

    /// <summary>After <see cref="Finish"/>.</summary>
    public ChatReplyEnd EndOf(GenerationResult result)
    {
        string reason = GenerationOutcome.FinishReasonName(result);
        return new(result, reason == "stop" && splitter is { CallCount: > 0 } ? "tool_calls" : reason, splitter?.ReasoningTokens ?? 0);
    }
}
