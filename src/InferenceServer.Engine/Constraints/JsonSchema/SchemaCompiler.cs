// JSON Schema -> grammar. One rule per distinct conjunction of schemas, so recursion through $ref becomes recursion of rules.
// Objects write their declared properties in the schema's order, then any others. One use per schema, on the compiling thread.

using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Constraints.Automaton;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.JsonSchema;

internal sealed class SchemaCompiler
{
    /// <summary>A schema that unfolds into more distinct conjunctions would not compile in reasonable time.</summary>
    private const int MaxRules = 20_000;

    private readonly SchemaDocument _document;
    private readonly Dictionary<string, GrammarRule> _rules = [];
    private readonly Queue<(GrammarRule Rule, IReadOnlyList<SchemaNode> Conjunction)> _pending = [];

    private SchemaCompiler(SchemaDocument document, JsonSchemaOptions options, CancellationToken cancellation)
    {
        _document = document;
        Expander = new(document, options, cancellation);
        bool spaced = options.Whitespace == JsonWhitespace.Bounded;
        AfterColon = spaced ? Expression.Optional(Expression.Text(" ")) : Expression.Empty;
        CodePointSet blank = CodePointSet.FromRanges([new(' ', ' '), new('\t', '\t')]);
        // 20 columns indent five levels of four; the count is bounded so that a model cannot write blanks for ever.
        Space = spaced
            ? new Expression.Choice([Expression.Empty, Expression.Text(" "), new Expression.Sequence([Expression.Text("\n"), new Expression.Repeat(new Expression.Characters(blank), 0, 20)])])
            : Expression.Empty;
    }

    public SchemaExpander Expander { get; }

    public Expression AfterColon { get; }

    public Expression Space { get; }

    /// <exception cref="ConstraintException">The path names the keyword that cannot be enforced.</exception>
    public static GrammarRule Compile(string schema, JsonSchemaOptions options, CancellationToken cancellation)
    {
        SchemaDocument document = new(schema);
        SchemaCompiler compiler = new(document, options, cancellation);
        Expression.Reference root = compiler.ValueOf([document.Root]);
        while (compiler._pending.TryDequeue(out var item))
            item.Rule.Body = compiler.BodyOf(item.Conjunction);
        return root.Rule;
    }

    /// <summary>A value that satisfies all the schemas together.</summary>
    public Expression.Reference ValueOf(IReadOnlyList<SchemaNode> conjunction)
    {
        List<SchemaNode> distinct = [.. conjunction.Where(n => !n.IsTrue).Select(Follow).Distinct()];
        string key = SchemaExpander.KeyOf(distinct);
        if (!_rules.TryGetValue(key, out GrammarRule? rule))
        {
            if (_rules.Count >= MaxRules)
                throw new ConstraintException(distinct.Count > 0 ? distinct[0].Path : "#", $"the schema unfolds into more than {MaxRules} rules");
            _rules.Add(key, rule = new(key.Length > 0 ? key : "#"));
            _pending.Enqueue((rule, distinct));
        }
        return new(rule);
    }

    /// <summary>A schema that is nothing but a reference stands for what it names, so that both share a rule.</summary>
    private SchemaNode Follow(SchemaNode node)
    {
        HashSet<SchemaNode> seen = [];
        while (seen.Add(node) && node.Element.ValueKind == JsonValueKind.Object && node.Element.TryGetProperty("$ref", out JsonElement reference)
            && node.Element.EnumerateObject().Count() == 1)
            node = _document.Resolve(node, reference);
        return node;
    }

    private Expression.Choice BodyOf(IReadOnlyList<SchemaNode> conjunction)
    {
        string path = conjunction.Count > 0 ? conjunction[0].Path : "#";
        try
        {
            List<Expression> branches = [];
            foreach (SchemaAlternative alternative in Expander.Expand(conjunction))
                AddAlternative(alternative, path, branches);
            return new Expression.Choice(branches);
        }
        catch (AutomatonTooLargeException e)
        {
            throw new ConstraintException(path, $"this combination of keywords {e.Message}");
        }
    }

    private void AddAlternative(SchemaAlternative alternative, string path, List<Expression> branches)
    {
        if (alternative.IsContradiction)
            return;
        if (alternative.Values is { } values)
        {
            AddValues([.. values.Where(v => SchemaValues.Accepts(Expander, alternative, v))], branches);
            return;
        }
        bool Excludes(JsonValueKind kind) => alternative.NotValues.Exists(v => v.ValueKind == kind);
        if (alternative.Types.HasFlag(JsonTypes.Null) && !Excludes(JsonValueKind.Null))
            branches.Add(Expression.Text("null"));
        if (alternative.Types.HasFlag(JsonTypes.Boolean) && !Excludes(JsonValueKind.True))
            branches.Add(Expression.Text("true"));
        if (alternative.Types.HasFlag(JsonTypes.Boolean) && !Excludes(JsonValueKind.False))
            branches.Add(Expression.Text("false"));
        if ((alternative.Types & JsonTypes.Number) != 0)
            branches.Add(NumberAutomaton.Build(SchemaValues.NumbersOf(alternative)));
        if (alternative.Types.HasFlag(JsonTypes.String))
            branches.Add(StringOf(alternative));
        if (alternative.Types.HasFlag(JsonTypes.Array))
        {
            if (Excludes(JsonValueKind.Array))
                throw new ConstraintException(path, "excluding a particular array is not supported");
            branches.Add(new ArrayGrammar(this, alternative, path).Build());
        }
        if (alternative.Types.HasFlag(JsonTypes.Object))
        {
            if (Excludes(JsonValueKind.Object))
                throw new ConstraintException(path, "excluding a particular object is not supported");
            branches.Add(new ObjectGrammar(this, alternative, path).Build());
        }
    }

    private static Expression.Sequence StringOf(SchemaAlternative alternative)
    {
        Expression body = SchemaValues.StringsOf(alternative) is { } dfa
            ? new Expression.Terminal(dfa, TextEncoding.JsonString)
            : new Expression.JsonStringBody(alternative.MinLength, alternative.MaxLength);
        return Quoted(body);
    }

    public static Expression.Sequence Quoted(Expression body) => new([Expression.Text("\""), body, Expression.Text("\"")]);

    private static void AddValues(List<JsonElement> values, List<Expression> branches)
    {
        // Strings share their beginnings, so that a long list costs no more than a short one at each step.
        string[] strings = [.. values.Where(v => v.ValueKind == JsonValueKind.String).Select(v => v.GetString()!)];
        if (strings.Length > 0)
            branches.Add(Quoted(new Expression.Terminal(Dfa.FromWords(strings), TextEncoding.JsonString)));
        foreach (JsonElement value in values.Where(v => v.ValueKind != JsonValueKind.String))
        {
            StringBuilder text = new();
            SchemaValues.Write(value, text);
            branches.Add(Expression.Text(text.ToString()));
        }
    }
}
