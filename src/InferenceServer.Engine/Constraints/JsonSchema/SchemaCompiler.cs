// JSON Schema -> grammar. One rule per distinct conjunction of schemas, so recursion through $ref becomes recursion of rules.
// Objects write their required properties in the schema's order and the others anywhere. One use per schema, on the compiling thread.

using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Constraints.Automaton;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.JsonSchema;

internal sealed class SchemaCompiler
{
    /// <summary>A schema that unfolds into more distinct conjunctions would not compile in reasonable time.</summary>
    private const int MaxRules = 20_000;

    private readonly Dictionary<string, GrammarRule> _rules = [];
    private readonly Queue<(GrammarRule Rule, IReadOnlyList<SchemaNode> Conjunction)> _pending = [];

    private readonly string? _quote;

    /// <param name="quote">As <see cref="MemberNotation.Quote"/>.</param>
    private SchemaCompiler(SchemaDocument document, JsonSchemaOptions options, string? quote, CancellationToken cancellation)
    {
        _quote = quote;
        Expander = new(document, options, cancellation);
        bool spaced = options.Whitespace == JsonWhitespace.Bounded && quote is null;
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
        SchemaCompiler compiler = new(document, options, null, cancellation);
        List<SchemaNode> root = options.RootIsObject ? [document.Root, SchemaExpander.AnyObject] : [document.Root];
        if (options.RootIsObject && compiler.Expander.IsEmpty(root))
        {
            compiler.Expander.Refuse(NoObject);
            root = [SchemaExpander.AnyObject];
        }
        Expression.Reference value = compiler.ValueOf(root);
        compiler.CompilePending();
        return value.Rule;
    }

    /// <summary>The members of an object that satisfies a schema, in another notation.</summary>
    /// <exception cref="ConstraintException">The path names the keyword that cannot be enforced.</exception>
    public static GrammarRule CompileMembers(string schema, MemberNotation notation, JsonSchemaOptions options, CancellationToken cancellation)
    {
        SchemaDocument document = new(schema);
        SchemaCompiler compiler = new(document, options, notation.Quote, cancellation);
        MemberGrammar members = new(compiler, notation);
        List<Expression> ways = [];
        void AddWays(IReadOnlyList<SchemaNode> conjunction)
        {
            foreach (SchemaAlternative alternative in compiler.Expander.Expand(conjunction))
            {
                if (alternative.Values is not null)
                {
                    compiler.Expander.Refuse(new("#", "listing whole arguments (enum, const) is not supported in the notation of this model's calls"));
                    alternative.Values = null;
                }
                if (!alternative.IsContradiction)
                    ways.Add(new ObjectGrammar(compiler, alternative, "#", members).Build());
            }
        }
        try
        {
            AddWays([document.Root, SchemaExpander.AnyObject]);
        }
        catch (Exception e) when (Refusal(e, "#") is { } error)
        {
            compiler.Expander.Refuse(error);
            ways.Clear();
            AddWays([SchemaExpander.AnyObject]);
        }
        if (ways.Count == 0)
        {
            compiler.Expander.Refuse(NoObject);
            AddWays([SchemaExpander.AnyObject]);
        }
        compiler.CompilePending();
        return new GrammarRule("arguments") { Body = new Expression.Choice(ways) };
    }

    private static ConstraintException NoObject => new("#", "no object satisfies this schema, and arguments are one");

    /// <summary>A failure that the schema's author is told; null for any other.</summary>
    private static ConstraintException? Refusal(Exception failure, string path) =>
        failure as ConstraintException ?? (failure is AutomatonTooLargeException ? new(path, $"this combination of keywords {failure.Message}") : null);

    private void CompilePending()
    {
        while (_pending.TryDequeue(out var item))
            item.Rule.Body = BodyOf(item.Conjunction);
    }

    /// <summary>A value that satisfies all the schemas together.</summary>
    public Expression.Reference ValueOf(IReadOnlyList<SchemaNode> conjunction)
    {
        List<SchemaNode> distinct = [.. conjunction.Where(n => !n.IsTrue).Select(Expander.Follow).Distinct()];
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
        catch (Exception e) when (Refusal(e, path) is { } error)
        {
            Expander.Refuse(error);
            return new Expression.Choice(BranchesOf(new() { Types = Expander.TypesOf(conjunction) }, path));
        }
    }

    /// <summary>What is exact where that is possible, and otherwise what is looser, if that is allowed.</summary>
    private T OrLooser<T>(string path, Func<T> exact, Func<T> looser)
    {
        try
        {
            return exact();
        }
        catch (AutomatonTooLargeException e)
        {
            Expander.Refuse(Refusal(e, path)!);
            return looser();
        }
    }

    /// <summary>The ways to write a value of an alternative that lists none.</summary>
    public List<Expression> BranchesOf(SchemaAlternative alternative, string path)
    {
        List<Expression> branches = [];
        AddAlternative(alternative, path, branches);
        return branches;
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
        {
            NumberBounds numbers = SchemaValues.NumbersOf(alternative);
            branches.Add(OrLooser($"{path}/multipleOf", () => NumberAutomaton.Build(numbers), () => NumberAutomaton.Build(numbers with { MultiplesOf = [] })));
        }
        if (alternative.Types.HasFlag(JsonTypes.String))
            branches.Add(OrLooser($"{path}/pattern", () => StringOf(alternative), () => StringOf(new() { MinLength = alternative.MinLength, MaxLength = alternative.MaxLength })));
        if (alternative.Types.HasFlag(JsonTypes.Array))
        {
            if (Excludes(JsonValueKind.Array))
                Expander.Refuse(new(path, "excluding a particular array is not supported"));
            branches.Add(new ArrayGrammar(this, alternative, path).Build());
        }
        if (alternative.Types.HasFlag(JsonTypes.Object))
        {
            if (Excludes(JsonValueKind.Object))
                Expander.Refuse(new(path, "excluding a particular object is not supported"));
            branches.Add(new ObjectGrammar(this, alternative, path).Build());
        }
    }

    private Expression.Sequence StringOf(SchemaAlternative alternative)
    {
        if (_quote is not null)
            return MarkedString(alternative, _quote);
        Expression body = SchemaValues.StringsOf(alternative) is { } strings
            ? strings.Spelled(TextEncoding.JsonString)
            : new Expression.JsonStringBody(alternative.MinLength, alternative.MaxLength);
        return Quoted(body);
    }

    /// <summary>A string between markers that it cannot hold.</summary>
    private static Expression.Sequence MarkedString(SchemaAlternative alternative, string quote) => new([
        Expression.Text(quote),
        StringsOf(alternative) is { } strings
            ? new Expression.Sequence([strings.Except(Containing(quote)).Spelled(TextEncoding.Raw), Expression.Text(quote)])
            : new Expression.FreeText([new(Encoding.UTF8.GetBytes(quote), Expression.Empty)], MayEnd: false)]);

    /// <summary>The strings allowed, as an automaton; null for all.</summary>
    public static StringSet? StringsOf(SchemaAlternative alternative) => SchemaValues.StringsOf(alternative)
        ?? (alternative.MinLength > 0 || alternative.MaxLength is not null ? new(Dfa.OfLength(alternative.MinLength, null), alternative.MaxLength) : null);

    /// <summary>The strings in which a text occurs.</summary>
    public static Dfa Containing(string text) => RegexCompiler.CompileSearch(string.Concat(text.Select(c => char.IsAsciiLetterOrDigit(c) ? c.ToString() : $"\\u{(int)c:X4}")));

    /// <summary>A member's key and what parts it from the value.</summary>
    public Expression Key(string name) => _quote is null
        ? new Expression.Sequence([Expression.Text(JsonSpelling.Quote(name)), Expression.Text(":"), AfterColon])
        : Expression.Text(name + ":");

    /// <summary>The key of a member whose name is not declared; null where there can be none.</summary>
    /// <param name="names">Those allowed; null for all.</param>
    public Expression? OtherKey(Dfa? names)
    {
        if (_quote is not null)
            return (names?.Intersect(BareNames) ?? BareNames) is { IsEmpty: false } bare
                ? new Expression.Sequence([new Expression.Terminal(bare, TextEncoding.Raw), Expression.Text(":")])
                : null;
        Expression key = names is null ? new Expression.JsonStringBody(0, null) : new Expression.Terminal(names, TextEncoding.JsonString);
        return new Expression.Sequence([Quoted(key), Expression.Text(":"), AfterColon]);
    }

    // Bare keys end at the colon.
    private static readonly Dfa BareNames = RegexCompiler.CompileWhole("[A-Za-z_][A-Za-z0-9_-]{0,63}");

    /// <summary>A value as text, in the notation that is compiled for.</summary>
    public string? Write(JsonElement value)
    {
        StringBuilder text = new();
        if (_quote is null)
            SchemaValues.Write(value, text);
        else if (!SchemaValues.WriteMarked(value, _quote, text))
            return null;
        return text.ToString();
    }

    public static Expression.Sequence Quoted(Expression body) => new([Expression.Text("\""), body, Expression.Text("\"")]);

    private void AddValues(List<JsonElement> values, List<Expression> branches)
    {
        // Strings share their beginnings, so that a long list costs no more than a short one at each step.
        string[] strings = [.. values.Where(v => v.ValueKind == JsonValueKind.String && _quote is null).Select(v => v.GetString()!)];
        if (strings.Length > 0)
            branches.Add(Quoted(new Expression.Terminal(Dfa.FromWords(strings), TextEncoding.JsonString)));
        foreach (JsonElement value in values.Where(v => v.ValueKind != JsonValueKind.String || _quote is not null))
            if (Write(value) is { } text)
                branches.Add(Expression.Text(text));
    }
}
