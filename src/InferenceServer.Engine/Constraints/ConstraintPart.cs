// The pieces that tool-call and reasoning formats are put together from. Immutable descriptions; CompiledConstraint.FromParts makes them run.

using InferenceServer.Engine.Constraints.Automaton;
using InferenceServer.Engine.Constraints.Gbnf;
using InferenceServer.Engine.Constraints.JsonSchema;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints;

/// <summary>Ends or interrupts free text, and says what must follow before the text goes on or is over.</summary>
/// <param name="Text">The literal text, or the name of a control token.</param>
/// <param name="Then">What must follow; null for nothing.</param>
/// <param name="IsControlToken">Whether <paramref name="Text"/> names a control token of the vocabulary, which ordinary tokens cannot spell.</param>
public sealed record TextTrigger(string Text, ConstraintPart? Then = null, bool IsControlToken = false)
{
    /// <summary>Names that stand for control tokens where they occur within <see cref="Text"/>.</summary>
    public IReadOnlyCollection<string> ControlTokens { get; init; } = [];

    /// <summary>It counts only where nothing but white space has come since the text began, or went on after another trigger.</summary>
    public bool AtStart { get; init; }
}

/// <summary>
/// A part of a reply. For example, text in which Qwen's tool calls may occur, each held to its schema:
/// <c>FreeText([new("&lt;tool_call&gt;", Sequence(Text("\n{\"name\": \"f\", \"arguments\": "), JsonSchema(schema), Text("}\n&lt;/tool_call&gt;")))], resumes: true)</c>.
/// </summary>
public sealed class ConstraintPart
{
    private ConstraintPart(Expression expression) => Expression = expression;

    internal Expression Expression { get; }

    /// <summary>Whether calls of rules count as nesting, since a part is a grammar of rules, which does not mark its own.</summary>
    internal bool CountsCalls { get; private init; }

    /// <summary>Nothing.</summary>
    public static ConstraintPart Empty { get; } = new(Expression.Empty);

    /// <summary>Any JSON object.</summary>
    public static ConstraintPart JsonObject { get; } = JsonSchema("""{"type":"object"}""");

    /// <summary>A literal text.</summary>
    /// <param name="controlTokens">Names that stand for control tokens where they occur in it; none by default.</param>
    public static ConstraintPart Text(string text, IReadOnlyCollection<string>? controlTokens = null)
    {
        JsonSpelling.RequireWellFormed(text, "text");
        return new(new Expression.Literal(ControlTokenBytes.Spell(text, controlTokens ?? [])));
    }

    /// <summary>A control token by name; a vocabulary without it is refused when a sequence begins.</summary>
    public static ConstraintPart ControlToken(string name) => new(new Expression.ControlToken(name, IsRequired: true));

    /// <summary>What a regular expression matches as a whole.</summary>
    /// <exception cref="ConstraintException">Malformed, not regular or past a limit.</exception>
    public static ConstraintPart Regex(string pattern)
    {
        try
        {
            return new(new Expression.Terminal(RegexCompiler.CompileWhole(pattern), TextEncoding.Raw));
        }
        catch (Exception e) when (e is RegexSyntaxException or AutomatonTooLargeException)
        {
            throw new ConstraintException("regex", e.Message);
        }
    }

    /// <summary>JSON that validates against a schema. Compiled here, so that what is wrong with it is known here.</summary>
    /// <exception cref="ConstraintException">The path is within the schema.</exception>
    public static ConstraintPart JsonSchema(string schema, JsonSchemaOptions? options = null, CancellationToken cancellation = default) =>
        new(new Expression.Reference(SchemaCompiler.Compile(schema, options ?? JsonSchemaOptions.Default, cancellation)));

    /// <summary>The members of an object that validates against a schema, in another notation than JSON's. Compiled here.</summary>
    /// <exception cref="ConstraintException">The path is within the schema.</exception>
    public static ConstraintPart Members(string schema, MemberNotation notation, JsonSchemaOptions? options = null, CancellationToken cancellation = default) =>
        new(new Expression.Reference(SchemaCompiler.CompileMembers(schema, notation, options ?? JsonSchemaOptions.Default, cancellation)));

    /// <summary>What a grammar in llama.cpp's notation describes.</summary>
    /// <exception cref="ConstraintException">Malformed; the path is line and column.</exception>
    public static ConstraintPart Gbnf(string grammar) => new(new Expression.Reference(GbnfParser.Parse(grammar))) { CountsCalls = true };

    /// <summary>Exactly one of the given texts.</summary>
    /// <exception cref="ConstraintException">No choices, or one that is not well-formed text.</exception>
    public static ConstraintPart Choices(IReadOnlyList<string> choices)
    {
        if (choices.Count == 0)
            throw new ConstraintException("choice", "must name at least one choice");
        for (int i = 0; i < choices.Count; i++)
            JsonSpelling.RequireWellFormed(choices[i], $"choice[{i}]");
        return new(new Expression.Choice([.. choices.Select(Expression.Text)]));
    }

    /// <summary>A part that may go on as itself, last within itself: it costs no nesting there.</summary>
    /// <param name="body">Is given the part that it makes; must read something before it comes to that.</param>
    public static ConstraintPart Recursive(Func<ConstraintPart, ConstraintPart> body)
    {
        GrammarRule rule = new("recursive");
        ConstraintPart self = new(new Expression.Reference(rule));
        ConstraintPart made = body(self);
        rule.Body = made.Expression;
        return new(self.Expression) { CountsCalls = made.CountsCalls };
    }

    /// <summary>One part after the other.</summary>
    public static ConstraintPart Sequence(params IReadOnlyList<ConstraintPart> parts) =>
        new(new Expression.Sequence([.. parts.Select(p => p.Expression)])) { CountsCalls = parts.Any(p => p.CountsCalls) };

    /// <summary>Any one of the parts.</summary>
    public static ConstraintPart Choice(params IReadOnlyList<ConstraintPart> parts) =>
        new(new Expression.Choice([.. parts.Select(p => p.Expression)])) { CountsCalls = parts.Any(p => p.CountsCalls) };

    /// <summary>The part or nothing.</summary>
    public static ConstraintPart Optional(ConstraintPart part) => new(Expression.Optional(part.Expression)) { CountsCalls = part.CountsCalls };

    /// <summary>The part several times, with a separator in between.</summary>
    /// <param name="part">What is repeated.</param>
    /// <param name="min">At least; not negative.</param>
    /// <param name="max">At most; null for no limit.</param>
    /// <param name="separator">Null for none.</param>
    public static ConstraintPart Repeat(ConstraintPart part, int min, int? max, ConstraintPart? separator = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(min);
        ArgumentOutOfRangeException.ThrowIfLessThan(max ?? int.MaxValue, Math.Max(1, min), nameof(max));
        if (separator is null)
            return new(new Expression.Repeat(part.Expression, min, max)) { CountsCalls = part.CountsCalls };
        Expression following = new Expression.Repeat(new Expression.Sequence([separator.Expression, part.Expression]), Math.Max(0, min - 1), max - 1);
        Expression some = new Expression.Sequence([part.Expression, following]);
        return new(min == 0 ? Expression.Optional(some) : some) { CountsCalls = part.CountsCalls || separator.CountsCalls };
    }

    /// <summary>Any text up to the first occurrence of a terminator, which belongs to the part.</summary>
    public static ConstraintPart TextUntil(string terminator, bool isControlToken = false) =>
        new(new Expression.FreeText([TriggerOf(new(terminator, null, isControlToken))], MayEnd: false));

    /// <summary>Any text up to the first occurrence of a terminator, whether control tokens spell it or ordinary ones; it belongs to the part.</summary>
    /// <param name="allowsControlTokens">Whether other control tokens may occur before it.</param>
    public static ConstraintPart TextUntil(string terminator, IReadOnlyCollection<string> controlTokens, bool allowsControlTokens = false) =>
        FreeText([new(terminator), new(terminator) { ControlTokens = controlTokens }], mayEnd: false, allowsControlTokens: allowsControlTokens);

    /// <summary>
    /// Any text, until one of the triggers occurs: from there on what the trigger demands. Costs nearly nothing per token while no trigger is near.
    /// </summary>
    /// <param name="triggers">What to watch for; the first to be complete counts. None: just text.</param>
    /// <param name="resumes">Whether free text, with the same triggers, goes on after what a trigger demanded; else this part is over then.</param>
    /// <param name="mayEnd">Whether the text may be over without any trigger.</param>
    /// <param name="allowsControlTokens">Whether control tokens that are no triggers may occur, as where a template's own markers are left alone.</param>
    public static ConstraintPart FreeText(IReadOnlyList<TextTrigger> triggers, bool resumes = false, bool mayEnd = true, bool allowsControlTokens = false) =>
        new(new Expression.FreeText([.. triggers.Select(TriggerOf)], mayEnd, resumes, allowsControlTokens)) { CountsCalls = triggers.Any(t => t.Then?.CountsCalls == true) };

    private static Trigger TriggerOf(TextTrigger trigger)
    {
        if (trigger.Text.Length == 0)
            throw new ConstraintException("trigger", "must not be empty");
        JsonSpelling.RequireWellFormed(trigger.Text, "trigger");
        byte[] bytes = ControlTokenBytes.Spell(trigger.Text, trigger.IsControlToken ? [trigger.Text] : trigger.ControlTokens);
        return new(bytes, trigger.Then?.Expression ?? Expression.Empty) { AtStart = trigger.AtStart };
    }
}
