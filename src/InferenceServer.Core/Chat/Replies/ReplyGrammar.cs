// What a reply must look like from its first token to its last: reasoning, then calls or content, in the model's own notation and held to the schemas of
// its tools. The other side of ReplySplitter: both go by the same markers, so whatever that takes for a call this has held to its format.

using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Constraints.JsonSchema;
using InferenceServer.Models;

namespace InferenceServer.Chat.Replies;

/// <summary>What a reply is held to.</summary>
public sealed record ReplyRules
{
    /// <summary>The functions that may be called; none when there are to be no calls.</summary>
    public IReadOnlyList<ToolSignature> Tools { get; init; } = [];

    /// <summary>The reply is calls and nothing else, but for reasoning before them.</summary>
    public bool MustCall { get; init; }

    /// <summary>Whether one reply may make several calls, where the format allows it.</summary>
    public bool ManyCalls { get; init; } = true;

    /// <summary>What a reply that makes no call must obey; null for any text, in which calls may occur.</summary>
    public ConstraintPart? Content { get; init; }

    public ReplyOpening Opening { get; init; }

    /// <summary>Whether the prompt has closed the reasoning already.</summary>
    public bool ReasoningIsOver { get; init; }
}

/// <summary>Puts a format, its tools and a constraint on content together. One use a request, wherever constraints are compiled.</summary>
/// <param name="controlTokens">Names of the vocabulary's control tokens that occur in the format's markers.</param>
/// <param name="endTokens">Names of the tokens that end a reply: what a format writes from these on is left to the engine.</param>
internal sealed class ReplyGrammar(ReplyFormat format, ReplyRules rules, IReadOnlyCollection<string> controlTokens, IReadOnlyList<string> endTokens)
{
    private readonly Dictionary<(ArgumentSyntax Syntax, string Tool), ConstraintPart> _arguments = [];
    private readonly List<string> _loosened = [];

    // What the format's calls have where readers skip anything: models mix them.
    private readonly string[] _skipped = [.. format.Calls.SelectMany(call => call.Pieces).Where(piece => piece.Kind == CallPieceKind.Skip).Select(piece => piece.Text).Append("").Distinct()];

    /// <summary>The places in the request that are left open, since they cannot be enforced and need not be.</summary>
    public IReadOnlyList<string> Loosened => _loosened;

    /// <exception cref="ConstraintException">A tool's schema cannot be enforced; the error names its place in the request.</exception>
    public ConstraintPart Build(CancellationToken cancellation)
    {
        foreach (ToolCallFormat call in format.Calls)
            foreach (ToolSignature tool in rules.Tools)
                AddArguments(call.Arguments, tool, mayLack: call != format.Calls[0], cancellation);
        ConstraintPart main = rules.MustCall ? Calls()
            : rules.Content is not { } content ? FreeText()
            : rules.Tools.Count == 0 ? Content(content)
            : ConstraintPart.Choice(Calls(), Content(content));
        if (format.Reasoning is not { } reasoning)
            return main;
        ConstraintPart after = rules.MustCall || rules.Content is not null
            ? ConstraintPart.Sequence(Marker(format.AfterReasoning), Gap, main)
            : main;
        if (rules.Opening == ReplyOpening.Reasoning)
            return ConstraintPart.Sequence(ThroughReasoning(reasoning), after);
        string open = reasoning.Open.Trim();
        if (ReferenceEquals(after, main) || open.Length == 0 || rules.ReasoningIsOver || rules.Opening != ReplyOpening.None)
            return main;
        return ConstraintPart.Choice(ConstraintPart.Sequence(Marker(open), ThroughReasoning(reasoning), after), main);
    }

    // Between reasoning and what follows models put up to two line breaks.
    private static ConstraintPart Gap { get; } = ConstraintPart.Choices(["", "\n", "\n\n"]);

    private ConstraintPart Marker(string text) => ConstraintPart.Text(text, controlTokens);

    private ConstraintPart ThroughReasoning(ReasoningMarkers reasoning) =>
        ConstraintPart.TextUntil(reasoning.Close.Trim(), controlTokens, allowsControlTokens: true);

    private ConstraintPart Content(ConstraintPart content)
    {
        string open = format.ContentOpen.TrimStart();
        if (rules.Opening == ReplyOpening.Call && open.StartsWith(format.Calls[0].Open, StringComparison.Ordinal))
            open = open[format.Calls[0].Open.Length..];
        return open.Length == 0 ? content : ConstraintPart.Sequence(Marker(open), content);
    }

    /// <summary>One call or more, as the template writes them.</summary>
    private ConstraintPart Calls()
    {
        ToolCallFormat call = format.Calls[0];
        string opening = rules.Opening == ReplyOpening.Call ? "" : call.Opening;
        return ConstraintPart.Sequence(Marker(opening), FromName(call), FurtherCalls(call, endsSection: true));
    }

    private bool ManyOf(ToolCallFormat call) => rules.ManyCalls && format.ParallelCalls && !IsCut(string.Concat(call.Pieces.Select(piece => piece.Text)));

    /// <summary>After a call: more of them, and the end of the section that they stand in.</summary>
    private ConstraintPart FurtherCalls(ToolCallFormat call, bool endsSection)
    {
        ConstraintPart close = endsSection ? Marker(Cut(call.SectionClose)) : ConstraintPart.Empty;
        return ManyOf(call)
            ? ConstraintPart.Sequence(ConstraintPart.Repeat(ConstraintPart.Sequence(Marker(call.Separator + call.Open), FromName(call)), 0, null), close)
            : close;
    }

    /// <summary>A call of any of the tools, from behind its opening text on.</summary>
    private ConstraintPart FromName(ToolCallFormat call)
    {
        CallPiece[] pieces = [.. call.Pieces.Skip(call.Open.Length > 0 ? 1 : 0)];
        return ConstraintPart.Choice([.. rules.Tools.Where(tool => _arguments.ContainsKey((call.Arguments, tool.Name))).Select(tool => OneCall(pieces, _arguments[(call.Arguments, tool.Name)], tool.Name))]);
    }

    private ConstraintPart OneCall(CallPiece[] pieces, ConstraintPart arguments, string name)
    {
        List<ConstraintPart> parts = [];
        foreach (CallPiece piece in pieces)
        {
            parts.Add(piece.Kind switch
            {
                CallPieceKind.Name => ConstraintPart.Text(name),
                CallPieceKind.Id => Id,
                CallPieceKind.Index => Index,
                CallPieceKind.Arguments => arguments,
                CallPieceKind.Skip => ConstraintPart.Choice([.. _skipped.Select(Marker)]),
                _ => Marker(Cut(piece.Text)),
            });
            if (piece.Kind == CallPieceKind.Literal && IsCut(piece.Text))
                break;
        }

        return ConstraintPart.Sequence(parts);
    }

    // Nine characters, as the formats that have ids insist on.
    private static ConstraintPart Id { get; } = ConstraintPart.Regex("[a-zA-Z0-9]{9}");

    private static ConstraintPart Index { get; } = ConstraintPart.Regex("[0-9]|[1-9][0-9]");

    /// <param name="mayLack">What this notation cannot write is not called in it, since the template's own can.</param>
    private void AddArguments(ArgumentSyntax syntax, ToolSignature tool, bool mayLack, CancellationToken cancellation)
    {
        if (_arguments.ContainsKey((syntax, tool.Name)))
            return;
        List<string> pointers = [];
        // One whose schema does not say takes only what is declared.
        JsonSchemaOptions options = new() { RootIsObject = true, AllowUndeclaredProperties = false, Loosened = tool.IsExact ? null : pointers };
        ConstraintPart Compile(string schema) => NotationOf(syntax) is { } notation
            ? ConstraintPart.Members(schema, notation, options, cancellation)
            : ConstraintPart.JsonSchema(schema, options, cancellation);
        try
        {
            // A function without parameters takes none.
            _arguments.Add((syntax, tool.Name), Compile(tool.Parameters?.GetRawText() ?? """{"type":"object","properties":{},"additionalProperties":false}"""));
        }
        catch (ConstraintException) when (mayLack)
        {
            return;
        }
        catch (ConstraintException) when (!tool.IsExact)
        {
            // Not even a part of it can be read, such as one that is nested without end.
            pointers.Add("#");
            _arguments.Add((syntax, tool.Name), Compile("""{"type":"object","additionalProperties":true}"""));
        }
        catch (ConstraintException error)
        {
            throw new ConstraintException(error.Path, error.Reason) { Part = tool.Path };
        }
        _loosened.AddRange(pointers.Select(pointer => tool.Path + ConstraintProblems.PathOf(pointer)).Except(_loosened));
    }

    private static MemberNotation? NotationOf(ArgumentSyntax syntax) => syntax switch
    {
        ArgumentSyntax.Tagged tagged => new(tagged.ParameterOpen, tagged.ValueOpen, tagged.ParameterClose, tagged.Separator)
        {
            StringsAreBare = true,
            TakesCharacterData = tagged.CharacterData,
            TakesPythonScalars = tagged.PythonScalars,
            ValueOpenByType = tagged.ValueOpenByType ?? new Dictionary<string, string>(),
        },
        ArgumentSyntax.Members members => new("", members.KeyEnd, "", members.Separator)
        {
            Quote = members.IsPython ? null : members.Quote,
            PythonQuote = members.Quote == "'" ? members.Quote : null,
            TakesPythonScalars = members.PythonScalars,
        },
        _ => null,
    };

    /// <summary>What comes before a token that ends the reply: the engine allows that one where all before it is whole.</summary>
    private string Cut(string text) =>
        endTokens.Select(end => text.IndexOf(end, StringComparison.Ordinal)).Where(at => at >= 0).DefaultIfEmpty(text.Length).Min() is var at ? text[..at] : text;

    private bool IsCut(string text) => endTokens.Any(end => text.Contains(end, StringComparison.Ordinal));

    /// <summary>Any text, in which each marker that the splitter knows is followed by what belongs to it.</summary>
    private ConstraintPart FreeText()
    {
        List<Trigger> triggers = Triggers();
        ConstraintPart text = ConstraintPart.Recursive(self => ConstraintPart.FreeText(
            [.. triggers.SelectMany(trigger => Spellings(trigger, Then(trigger, self)))], mayEnd: true, allowsControlTokens: true));
        if (rules.Opening != ReplyOpening.Call)
            return text;
        string opened = format.Calls[0].Open.Trim();
        return triggers.Find(trigger => trigger.Stem == opened) is { } first ? Then(first, text) : text;
    }

    /// <summary>A text to watch for, and the markers that it begins.</summary>
    private sealed record Trigger(string Stem, bool AtStart, List<(ReplyMarker Marker, string Text)> Markers);

    private List<Trigger> Triggers()
    {
        List<Trigger> triggers = [];
        IEnumerable<(ReplyMarker Marker, string Text)> markers = new ReplyMarkers(format, withCalls: rules.Tools.Count > 0).All
            .Where(marker => marker.Kind != ReplyMarkerKind.Skipped || !marker.AtStart || MarkerText.HasTag(marker.Literal))
            .Select(marker => (marker, TextOf(marker)));
        // Calls first, by the least that gives them away: what begins like one is decided upon with it.
        foreach ((ReplyMarker marker, string text) in markers.OrderBy(item => item.Marker.Kind != ReplyMarkerKind.Call).ThenBy(item => item.Marker.Stem.Length))
        {
            int known = triggers.FindIndex(trigger => text.StartsWith(trigger.Stem, StringComparison.Ordinal));
            if (known < 0)
                triggers.Add(new(marker.Kind == ReplyMarkerKind.Call ? marker.Stem : text, marker.AtStart, [(marker, text)]));
            else
            {
                triggers[known].Markers.Add((marker, text));
                triggers[known] = triggers[known] with { AtStart = triggers[known].AtStart && marker.AtStart };
            }
        }

        return triggers;
    }

    /// <summary>All that stands before the first thing that varies.</summary>
    private static string TextOf(ReplyMarker marker)
    {
        if (marker.Format is not { } call)
            return marker.Literal;
        string whole = call.Opening, one = call.Open.TrimStart();
        if (whole.StartsWith(marker.Literal, StringComparison.Ordinal))
            return whole;
        // Outer tags were left out: a section's, or a call's own.
        int at = one.IndexOf(marker.Literal, StringComparison.Ordinal);
        return at < 0 ? marker.Literal : one[at..];
    }

    private ConstraintPart Then(Trigger trigger, ConstraintPart text) =>
        ConstraintPart.Choice([.. trigger.Markers.Select(item => ConstraintPart.Sequence(Marker(item.Text[trigger.Stem.Length..]), After(item.Marker, text)))]);

    private ConstraintPart After(ReplyMarker marker, ConstraintPart text)
    {
        if (marker.Kind == ReplyMarkerKind.Skipped)
            return text;
        if (marker.Kind == ReplyMarkerKind.Reasoning)
            return ConstraintPart.Sequence(ThroughReasoning(format.Reasoning!), text);
        ToolCallFormat call = marker.Format!;
        bool inSection = call.SectionOpen.Length > 0 || call.SectionClose.Length > 0;
        ConstraintPart calls = inSection ? ConstraintPart.Sequence(FromName(call), FurtherCalls(call, call.Opening.StartsWith(marker.Literal, StringComparison.Ordinal))) : FromName(call);
        return ManyOf(call) ? ConstraintPart.Sequence(calls, text) : calls;
    }

    /// <summary>Ordinary tokens may spell what a control token is named, and the splitter reads both alike.</summary>
    private IEnumerable<TextTrigger> Spellings(Trigger trigger, ConstraintPart then)
    {
        yield return new(trigger.Stem, then) { AtStart = trigger.AtStart };
        if (controlTokens.Any(name => trigger.Stem.Contains(name, StringComparison.Ordinal)))
            yield return new(trigger.Stem, then) { AtStart = trigger.AtStart, ControlTokens = controlTokens };
    }
}
