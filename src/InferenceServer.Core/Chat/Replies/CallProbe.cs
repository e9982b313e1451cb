// Learns how calls are written: calls whose names, ids and arguments are known are rendered, marks take the place of these, and what is left is the format.
// Two calls tell apart what belongs to a call, what parts calls, and what stands around them all. What was learned must read its own source back.

using InferenceServer.Chat.Templates;

namespace InferenceServer.Chat.Replies;

/// <param name="Parallel">Whether the template prints several calls of one message.</param>
/// <param name="InPrompt">Whether the prompt's end opens a call.</param>
internal sealed record LearnedCalls(ToolCallFormat Format, bool Parallel, bool InPrompt);

/// <param name="turn">What is known of turns: reasoning and markers around content.</param>
/// <param name="turnEnd">What follows a turn's content and may follow its calls.</param>
internal sealed class CallProbe(ProbeRenderer render, ReplyFormat turn, string turnEnd)
{
    private static readonly ProbeCall First = new("qzxnamea", "qzxida001", "qzxvaluea", "qzxvalueb");
    private static readonly ProbeCall Second = new("qzxnameb", "qzxidb002", "qzxvaluec", "qzxvalued");

    public static TemplateValue OneCall { get; } = ProbeCall.AsTemplate([First], asText: false);

    public static string OneName => First.Name;

    /// <summary>What the template prints of calls, or null when that tells nothing.</summary>
    public LearnedCalls? Learn()
    {
        foreach (bool asText in (ReadOnlySpan<bool>)[false, true])
            foreach (ProbeCall[] calls in (ProbeCall[][])[[First, Second], [First]])
                if (render.CallTurn(ProbeCall.AsTemplate(calls, asText)) is { } text && Learn(text, calls) is { } learned)
                    return learned;
        return null;
    }

    private LearnedCalls? Learn(string text, ProbeCall[] calls)
    {
        string header = MarkerText.CommonStart(render.Prompt, text[..Math.Max(0, text.IndexOf(First.Name, StringComparison.Ordinal))]);
        if (ProbeCall.Mark(text, calls) is not { } pattern)
            return null;
        int[] marks = [.. Enumerable.Range(0, pattern.Length).Where(at => ProbeCall.IsMark(pattern[at]))];
        if (marks.Length == 0 || marks.Length % calls.Length != 0 || marks[0] < header.Length)
            return null;
        int each = marks.Length / calls.Length;
        string lead = StripLead(pattern[header.Length..marks[0]]);
        string core = pattern[marks[0]..(marks[each - 1] + 1)];
        string rest = pattern[(marks[^1] + 1)..];
        (string open, string close, string section, string separator) = (lead, BeforeTurnEnd(rest), "", "");
        if (calls.Length == 2)
        {
            string between = pattern[(marks[each - 1] + 1)..marks[each]];
            close = MarkerText.CommonStart(between, rest);
            rest = rest[close.Length..];
            between = between[close.Length..];
            open = MarkerText.CommonEnd(lead, between, ProbeCall.Index);
            (section, separator) = (lead[..^open.Length], between[..^open.Length]);
            if (MarkerText.AlignedText(core, pattern[marks[each]..(marks[^1] + 1)], ProbeCall.Index) is not { } aligned)
                return null;
            core = aligned;
            // What ends both the section's beginning and a call belongs to what follows.
            string shared = MarkerText.CommonEnd(section, close);
            (section, open, close, rest) = (section[..^shared.Length], shared + open, close[..^shared.Length], shared + rest);
        }

        bool inPrompt = lead.Length == 0 && separator.Length > 0 && render.Prompt.TrimEnd().EndsWith(separator, StringComparison.Ordinal);
        if (inPrompt)
            (open, separator) = (separator, "");
        if (Arrange(open + core + close) is not { } format)
            return null;
        format = format with
        {
            SectionOpen = section,
            Separator = separator,
            SectionClose = section.Trim().Length == 0 ? "" : BeforeTurnEnd(rest),
        };
        LearnedCalls learned = new(format, calls.Length == 2, inPrompt);
        return Verify(learned, text[header.Length..], calls) ? learned : null;
    }

    /// <summary>What comes before the calls without what belongs to the turn: empty reasoning, markers of empty content.</summary>
    private string StripLead(string lead)
    {
        if (turn.Reasoning is { } reasoning && lead.LastIndexOf(reasoning.Close, StringComparison.Ordinal) is >= 0 and var close)
            lead = lead[(close + reasoning.Close.Length)..];
        while (true)
        {
            lead = lead.TrimStart();
            if (turn.Skipped.FirstOrDefault(skipped => lead.StartsWith(skipped.Trim(), StringComparison.Ordinal)) is not { } marker)
                return lead;
            lead = lead[marker.Trim().Length..];
        }
    }

    private string BeforeTurnEnd(string rest)
    {
        string end = turnEnd.Trim();
        int at = end.Length == 0 ? -1 : rest.IndexOf(end, StringComparison.Ordinal);
        if (at < 0 && MarkerText.ThroughFirstTag(end) is { Length: > 0 } tag && MarkerText.HasTag(tag))
            at = rest.IndexOf(tag, StringComparison.Ordinal);
        return at < 0 ? MarkerText.ThroughFirstTag(rest) : rest[..at];
    }

    /// <summary>A call with marks as pieces; its arguments are told apart by what stands around two of them.</summary>
    private ToolCallFormat? Arrange(string call)
    {
        int key = call.IndexOf(ProbeCall.Key);
        if (key < 0)
            return call.Contains(ProbeCall.Arguments) && call.Contains(ProbeCall.NameMark) ? new("learned", ProbeCall.Pieces(call)) : null;
        int value = call.IndexOf(ProbeCall.Value), key2 = call.LastIndexOf(ProbeCall.Key), value2 = call.LastIndexOf(ProbeCall.Value);
        if (!(key < value && value < key2 && key2 < value2) || call[(key + 1)..value] is not { Length: > 0 } valueOpen || valueOpen != call[(key2 + 1)..value2])
            return null;
        int start = key;
        while (start > 0 && !ProbeCall.IsMark(call[start - 1]))
            start--;
        int end = value2 + 1;
        while (end < call.Length && !ProbeCall.IsMark(call[end]))
            end++;
        (string before, string between, string after) = (call[start..key], call[(value + 1)..key2], call[(value2 + 1)..end]);
        ArgumentSyntax syntax;
        string quote = valueOpen[1..];
        if (valueOpen[0] is '=' or ':' && quote.Length > 0 && between.StartsWith(quote, StringComparison.Ordinal) && after.StartsWith(quote, StringComparison.Ordinal))
        {
            syntax = new ArgumentSyntax.Members(valueOpen[..1], quote, between[quote.Length..]);
            after = after[quote.Length..];
        }
        else
        {
            string close = MarkerText.CommonStart(between, after);
            string open = MarkerText.CommonEnd(between[close.Length..], before);
            if (open.Length == 0 || close.Trim().Length == 0)
                return null;
            before = before[..^open.Length];
            string shared = MarkerText.CommonEnd(before, close);
            (before, after) = (before[..^shared.Length], after[(close.Length - shared.Length)..]);
            syntax = new ArgumentSyntax.Tagged(shared + open, valueOpen, close[..^shared.Length], between[close.Length..^open.Length]);
        }

        return new("learned", ProbeCall.Pieces(call[..start] + before + ProbeCall.Arguments + after + call[end..]), ArgumentTypeProbe.Refine(render, syntax));
    }

    private bool Verify(LearnedCalls learned, string reply, ProbeCall[] calls)
    {
        ReplySplitter splitter = new(turn with { Calls = [learned.Format] }, new ReplySplitOptions
        {
            Tools = [new(First.Name, ProbeCall.Schema), new(Second.Name, ProbeCall.Schema)],
            Opening = learned.InPrompt ? ReplyOpening.Call : ReplyOpening.None,
        });
        List<ReplyDelta> deltas = [];
        splitter.Append(reply, deltas);
        splitter.Finish(deltas);
        return splitter.CallCount == calls.Length && Array.TrueForAll(calls, call => call.IsIn(deltas));
    }
}
