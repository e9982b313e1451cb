// How a model writes a reply, as data: what delimits its reasoning, its content and its tool calls. Learned from the chat template once per model
// (ReplyFormatProbe), read by ReplySplitter, written by CallWriter. Immutable.

namespace InferenceServer.Chat.Replies;

/// <summary>How one model's replies are put together. Markers are texts; the white space within them may differ in a reply.</summary>
public sealed record ReplyFormat
{
    /// <summary>Content only.</summary>
    public static ReplyFormat Plain { get; } = new();

    /// <summary>What delimits reasoning; null when the model does not reason in the open.</summary>
    public ReasoningMarkers? Reasoning { get; init; }

    /// <summary>What the model writes between its reasoning and what comes next, such as the next message's header; empty for white space only.</summary>
    public string AfterReasoning { get; init; } = "";

    /// <summary>What the model writes before its content, such as a channel's header; empty for nothing.</summary>
    public string ContentOpen { get; init; } = "";

    /// <summary>Markers around content and turns that are no part of what is said.</summary>
    public IReadOnlyList<string> Skipped { get; init; } = [];

    /// <summary>How calls are written; the first is what the template writes, the others are read as well. Empty when nothing is known.</summary>
    public IReadOnlyList<ToolCallFormat> Calls { get; init; } = [];

    /// <summary>Whether several calls may stand in one message.</summary>
    public bool ParallelCalls { get; init; } = true;

    /// <summary>Whether the template ends its prompt in what opens a call, so that a reply begins within it.</summary>
    public bool PromptOpensCall { get; init; }

    /// <summary>Whether a reply without calls is anything but its content.</summary>
    public bool HasMarkers => Reasoning is not null || Skipped.Count > 0;

    /// <summary>Whether content has something of the format's own around or before it.</summary>
    public bool FramesContent => Reasoning is not null || ContentOpen.Length > 0;

    /// <summary>Every literal text that takes a reply apart.</summary>
    internal IEnumerable<string> Markers()
    {
        IEnumerable<string> calls = Calls.SelectMany(call => call.Pieces.Select(piece => piece.Text)
            .Concat([call.SectionOpen, call.Separator, call.SectionClose]).Concat(call.Arguments.Markers));
        return [Reasoning?.Open ?? "", Reasoning?.Close ?? "", ContentOpen, .. Skipped, .. calls];
    }

    /// <summary>Whether the end of a rendered prompt has closed the reasoning already, as templates do when thinking is switched off.</summary>
    public bool IsReasoningOver(ReadOnlySpan<char> prompt) =>
        Reasoning is { } reasoning && reasoning.Close.Trim() is { Length: > 0 } close && prompt.TrimEnd().EndsWith(close, StringComparison.Ordinal);

    /// <summary>What the end of a rendered prompt has opened already, so that the reply goes on within it.</summary>
    public ReplyOpening OpeningOf(ReadOnlySpan<char> prompt)
    {
        prompt = prompt.TrimEnd();
        if (Reasoning is { } reasoning && reasoning.Open.Trim() is { Length: > 0 } open && prompt.EndsWith(open, StringComparison.Ordinal))
            return ReplyOpening.Reasoning;
        return PromptOpensCall && prompt.EndsWith(Calls[0].Open, StringComparison.Ordinal) ? ReplyOpening.Call : ReplyOpening.None;
    }
}

/// <param name="Open">May be empty: then only the template's prompt opens reasoning.</param>
public sealed record ReasoningMarkers(string Open, string Close);

/// <summary>Where a reply begins.</summary>
public enum ReplyOpening
{
    None,
    Reasoning,
    Call,
}
