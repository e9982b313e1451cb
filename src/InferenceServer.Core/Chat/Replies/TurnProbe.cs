namespace InferenceServer.Chat.Replies;

/// <summary>Learns what stands around reasoning and content.</summary>
internal sealed class TurnProbe(ProbeRenderer render, string source)
{
    // Tags that templates name without ever printing a turn's reasoning between them.
    private static readonly ReasoningMarkers[] KnownReasoning =
    [
        new("<think>", "</think>"), new("[THINK]", "[/THINK]"), new("<|START_THINKING|>", "<|END_THINKING|>"), new("<thinking>", "</thinking>"),
        new("<thought>", "</thought>"), new("<reasoning>", "</reasoning>"), new("<|channel>thought", "<channel|>"), new("<seed:think>", "</seed:think>"),
        new("◁think▷", "◁/think▷"),
    ];

    /// <returns>The format without calls, and what follows content and may follow calls.</returns>
    public (ReplyFormat Format, string TurnEnd) Learn()
    {
        string prompt = render.Prompt;
        string? content = render.Turn(ProbeRenderer.Content);
        string? reasoned = render.Turn(ProbeRenderer.Content, ProbeRenderer.Reasoning);
        string? called = render.CallTurn(CallProbe.OneCall, ProbeRenderer.Reasoning);
        (string Before, string After)? thought = Cut(reasoned, ProbeRenderer.Reasoning) ?? Cut(called, ProbeRenderer.Reasoning);
        (string Before, string After)? said = Cut(content, ProbeRenderer.Content);
        string header = said is { } plain ? MarkerText.CommonStart(prompt, plain.Before) : prompt;

        ReasoningMarkers? reasoning = null;
        string between = "";
        if (thought is { } found)
        {
            between = Cut(found.After, ProbeRenderer.Content)?.Before ?? "";
            string toCall = Cut(called, ProbeRenderer.Reasoning)?.After ?? "";
            string close = CloseOf(between, toCall, header);
            reasoning = close.Trim().Length == 0 ? null : new(OpenOf(found.Before, close.Trim(), MarkerText.CommonStart(header, found.Before)), close.Trim());
        }

        reasoning ??= Array.Find(KnownReasoning, known => Names(known.Open) && Names(known.Close));
        List<string> skipped = [];
        string contentOpen = reasoning is not null && between.Length > 0
            ? between[(between.IndexOf(reasoning.Close, StringComparison.Ordinal) + reasoning.Close.Length)..]
            : Without(said?.Before[header.Length..] ?? "", reasoning);
        contentOpen = contentOpen.TrimStart();
        if (contentOpen.Trim().Length > 0)
            skipped.Add(contentOpen);
        string restart = RestartOf(header);
        if (reasoning is not null && restart.Length > 0 && reasoning.Close.Contains(restart, StringComparison.Ordinal))
            skipped.Add(reasoning.Close);
        string turnEnd = AddEnds(skipped, said?.After ?? "", restart);
        return (new ReplyFormat { Reasoning = reasoning, ContentOpen = contentOpen, Skipped = [.. skipped.Distinct()] }, turnEnd);
    }

    private bool Names(string tag) => source.Contains(tag, StringComparison.Ordinal) || render.Prompt.Contains(tag, StringComparison.Ordinal);

    /// <summary>What closes reasoning is what content and calls after it have in common.</summary>
    private static string CloseOf(string toContent, string toCall, string header)
    {
        string close = toContent.Length == 0 ? MarkerText.ThroughFirstTag(toCall)
            : toCall.Length == 0 ? MarkerText.ThroughFirstTag(toContent)
            : MarkerText.CommonStart(toContent, toCall);
        // A turn that begins anew after reasoning does so as the prompt ended; what follows that is the content's own.
        string restart = RestartOf(header);
        int at = restart.Length == 0 ? -1 : close.IndexOf(restart, StringComparison.Ordinal);
        if (at >= 0)
            return close[..(at + restart.Length)];
        if (close.Trim().Length == 0)
            close = toContent;
        List<string> tokens = MarkerText.Tokens(close.Trim());
        // A word between two tags makes one marker of them, as in <|close|>think<|sep|>.
        return tokens is [var first, var word, var second, ..] && MarkerText.HasTag(first) && char.IsLetter(word[0]) && MarkerText.HasTag(second)
            ? first + word + second
            : MarkerText.ThroughFirstTag(close);
    }

    /// <summary>What opens reasoning: all that follows the turn's header, in the turn or in the prompt; else the last tags of the header itself.</summary>
    private string OpenOf(string before, string close, string header)
    {
        string open = before[header.Length..].Trim();
        string inPrompt = render.Prompt[header.Length..].Trim();
        if (open.Length > 0)
            return open;
        if (inPrompt.Length > 0 && !inPrompt.Contains(close, StringComparison.Ordinal))
            return inPrompt;
        string mirrored = close.Replace("/", "", StringComparison.Ordinal);
        if (before.TrimEnd().EndsWith(mirrored, StringComparison.Ordinal))
            return mirrored;
        List<string> tokens = MarkerText.Tokens(before.Trim());
        int start = tokens.FindLastIndex(MarkerText.HasTag);
        if (start >= 2 && MarkerText.HasTag(tokens[start - 2]) && char.IsLetter(tokens[start - 1][0]))
            start -= 2;
        return start < 0 ? "" : string.Concat(tokens.Skip(start));
    }

    /// <summary>Markers after content: those before the last, which ends the reply and is never seen.</summary>
    private string AddEnds(List<string> skipped, string after, string restart)
    {
        string toCall = Cut(render.Turn(ProbeRenderer.Content, null, CallProbe.OneCall), ProbeRenderer.Content)?.After ?? "";
        // A template that drops the calls, or prints them first, tells nothing of what stands between.
        toCall = Cut(toCall, CallProbe.OneName)?.Before ?? "";
        string close = MarkerText.CommonStart(after.Trim(), toCall.Trim()).Trim();
        if (MarkerText.HasTag(close))
            skipped.Add(close);
        if (restart.Length > 0 && toCall.Contains(restart, StringComparison.Ordinal))
            skipped.Add(restart);
        string rest = after.Trim()[close.Length..];
        if (MarkerText.Steps(rest) is { Count: > 1 } steps)
            skipped.Add(string.Concat(steps.SkipLast(1)));
        return rest;
    }

    /// <summary>The last tag of the prompt's end and what follows: how each message of the assistant begins.</summary>
    private static string RestartOf(string header)
    {
        List<string> tokens = MarkerText.Tokens(header.Trim());
        int tag = tokens.FindLastIndex(MarkerText.HasTag);
        return tag < 0 || tag == tokens.Count - 1 ? "" : string.Concat(tokens.Skip(tag));
    }

    /// <summary>A turn's beginning without the empty reasoning that some templates print.</summary>
    private static string Without(string before, ReasoningMarkers? reasoning)
    {
        int close = reasoning is null ? -1 : before.LastIndexOf(reasoning.Close, StringComparison.Ordinal);
        return close < 0 ? before : before[(close + reasoning!.Close.Length)..];
    }

    private static (string Before, string After)? Cut(string? text, string mark)
    {
        int at = text?.IndexOf(mark, StringComparison.Ordinal) ?? -1;
        return at < 0 ? null : (text![..at], text[(at + mark.Length)..]);
    }
}
