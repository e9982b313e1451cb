// The public door of this room: source text in, an immutable automaton out. Compile on a request's thread, never on the decode thread.

using InferenceServer.Engine.Constraints.Automaton;
using InferenceServer.Engine.Constraints.JsonSchema;

namespace InferenceServer.Engine.Constraints;

/// <summary>
/// What a reply must match. Immutable and safe to share between requests and threads; worth caching by its source text. Compiling is bounded in
/// size by limits within, and in time by the caller's token, which is looked at often.
/// </summary>
public sealed class CompiledConstraint
{
    /// <summary>Levels of nesting that a grammar of rules may use; a level takes some 100 bytes while it is open.</summary>
    private const int MaxRuleNesting = 512;

    private readonly PushdownAutomaton _automaton;

    private CompiledConstraint(PushdownAutomaton automaton)
    {
        _automaton = automaton;
        Cache = new(automaton);
    }

    internal ConfigurationCache Cache { get; }

    internal ReadOnlySpan<byte> ClassOfByte => _automaton.ClassOfByte;

    /// <summary>About the memory it holds now; it grows as replies reach new places in the grammar, up to a limit within.</summary>
    public long Bytes => _automaton.Bytes + Cache.Bytes;

    /// <summary>JSON that validates against a schema (draft 2020-12).</summary>
    /// <exception cref="ConstraintException">Not JSON, not a schema, or a keyword that cannot be enforced: the path names it.</exception>
    public static CompiledConstraint FromJsonSchema(string schema, JsonSchemaOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= JsonSchemaOptions.Default;
        return new(GrammarCompiler.Compile(SchemaCompiler.Compile(schema, options, cancellation), options.MaxNesting, countCalls: false, cancellation));
    }

    /// <summary>Any JSON object.</summary>
    public static CompiledConstraint FromJsonObject(JsonSchemaOptions? options = null) => FromJsonSchema("""{"type":"object"}""", options);

    /// <summary>A grammar in llama.cpp's notation; its rule <c>root</c> describes the whole reply.</summary>
    /// <exception cref="ConstraintException">Malformed (the path is line and column), left-recursive or past a limit.</exception>
    public static CompiledConstraint FromGbnf(string grammar, CancellationToken cancellation = default) =>
        FromParts(ConstraintPart.Gbnf(grammar), cancellation);

    /// <summary>Text that a regular expression matches from its first to its last character.</summary>
    /// <exception cref="ConstraintException">Malformed, not regular (backreferences, lookaround) or past a limit.</exception>
    public static CompiledConstraint FromRegex(string pattern, CancellationToken cancellation = default) => FromParts(ConstraintPart.Regex(pattern), cancellation);

    /// <summary>Exactly one of the given texts.</summary>
    /// <exception cref="ConstraintException">No choices, or one that is not well-formed text.</exception>
    public static CompiledConstraint FromChoices(IReadOnlyList<string> choices, CancellationToken cancellation = default) =>
        FromParts(ConstraintPart.Choices(choices), cancellation);

    /// <summary>Text put together from parts: free text, markers, schemas; what tool-call formats are made of.</summary>
    /// <exception cref="ConstraintException">Nothing can match the parts together, or they are past a limit.</exception>
    public static CompiledConstraint FromParts(ConstraintPart root, CancellationToken cancellation = default) => new(GrammarCompiler.Compile(
        new GrammarRule("root") { Body = root.Expression }, root.CountsCalls ? MaxRuleNesting : JsonSchemaOptions.Default.MaxNesting, root.CountsCalls, cancellation));

    /// <summary>Refuses a vocabulary in which a named control token is missing, rather than meeting a dead end while decoding.</summary>
    internal void RequireControlTokens(TokenVocabularyTrie vocabulary)
    {
        foreach (string name in _automaton.ControlTokens)
            if (!vocabulary.HasControlToken(name))
                throw new ConstraintException(name, "this model's vocabulary has no such control token");
    }
}
