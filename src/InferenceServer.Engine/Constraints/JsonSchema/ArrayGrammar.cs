// The elements of an array: prefixItems in order, then items, between bounds; contains by counting hits, uniqueItems where values are few.

using System.Text.Json;
using InferenceServer.Engine.Constraints.Automaton;

namespace InferenceServer.Engine.Constraints.JsonSchema;

internal sealed class ArrayGrammar(SchemaCompiler compiler, SchemaAlternative alternative, string path)
{
    /// <summary>Unique elements are kept apart by one rule per subset already used.</summary>
    private const int MaxUniqueValues = 10;

    /// <summary>Rules for one array that counts what it contains.</summary>
    private const int MaxCountedStates = 4_000;

    private readonly int _min = alternative.MinItems;
    private readonly int? _max = alternative.MaxItems;

    private Expression.Sequence Comma => new([Expression.Text(","), compiler.Space]);

    public Expression Build()
    {
        if (_min > (_max ?? int.MaxValue))
            return Expression.Never;
        Expression elements = Elements();
        return new Expression.Sequence([Expression.Text("["), new Expression.Nested(new Expression.Sequence([compiler.Space, elements])), Expression.Text("]")]);
    }

    private Expression Elements()
    {
        int prefix = alternative.Items.Count == 0 ? 0 : alternative.Items.Max(a => a.Prefix.Count);
        List<ContainsApplicator> contains = [.. alternative.Contains.Where(c => c.Min > 0 || c.Max is not null)];
        if (alternative.UniqueItems && (_max is null or > 1))
        {
            if (prefix == 0 && contains.Count == 0 && Unique() is { } unique)
                return unique;
            if (prefix > 0 || contains.Count > 0)
                Refuse("uniqueItems", "is not supported together with prefixItems or contains");
        }
        if (contains.Count > 0)
        {
            if (prefix == 0 && contains.Count == 1 && Containing(contains[0]) is { } containing)
                return containing;
            if (prefix > 0 || contains.Count > 1)
                Refuse("contains", "is supported once per array and without prefixItems");
        }
        return Plain(prefix);
    }

    /// <summary>Throws, or notes that the keyword is left out.</summary>
    private void Refuse(string keyword, string reason) => compiler.Expander.Refuse(new($"{path}/{keyword}", reason));

    private Expression Plain(int prefix)
    {
        List<SchemaNode> rest = alternative.ElementAt(int.MaxValue);
        Expression? element = rest.Exists(s => s.IsFalse) ? null : compiler.ValueOf(rest);
        int need = Math.Max(0, _min - prefix);
        int? most = _max is { } max ? Math.Max(0, max - prefix) : null;
        Expression tail;
        if (element is null || most == 0)
            tail = need > 0 ? Expression.Never : prefix > 0 ? compiler.Space : Expression.Empty;
        else if (prefix > 0)
            tail = new Expression.Sequence([new Expression.Repeat(new Expression.Sequence([Comma, element]), need, most), compiler.Space]);
        else
        {
            Expression following = new Expression.Repeat(new Expression.Sequence([Comma, element]), Math.Max(0, need - 1), most - 1);
            Expression some = new Expression.Sequence([element, following, compiler.Space]);
            tail = need > 0 ? some : Expression.Optional(some);
        }
        for (int i = Math.Min(prefix, _max ?? prefix) - 1; i >= 0; i--)
        {
            if (i + 1 == _max)
                tail = compiler.Space;
            Expression some = new Expression.Sequence([i > 0 ? Comma : Expression.Empty, compiler.ValueOf(alternative.ElementAt(i)), tail]);
            tail = i >= _min ? new Expression.Choice([some, i > 0 ? compiler.Space : Expression.Empty]) : some;
        }
        return tail;
    }

    /// <summary>Counts elements (as far as bounds need) and hits. Where hits have a maximum, the other elements must not be hits. Null where it was refused.</summary>
    private Expression.Reference? Containing(ContainsApplicator contains)
    {
        List<SchemaNode> rest = alternative.ElementAt(0);
        Expression hit = compiler.ValueOf([.. rest, contains.Schema]);
        Expression other = contains.Max is null ? compiler.ValueOf(rest) : compiler.ValueOf([.. rest, contains.Schema.Not]);
        int countLimit = Math.Max(1, Math.Max(_min, _max ?? 0));
        int hitLimit = contains.Max ?? contains.Min;
        if ((long)(countLimit + 1) * (hitLimit + 1) > MaxCountedStates)
        {
            Refuse("contains", "with bounds this large is not supported");
            return null;
        }
        Dictionary<(int, int), GrammarRule> rules = [];
        // Back to front, so that every rule exists before it is referred to; counts saturate where no bound looks at them.
        for (int count = countLimit; count >= 0; count--)
            for (int hits = hitLimit; hits >= 0; hits--)
                rules.Add((count, hits), new($"{path} (element {count})"));
        foreach (((int count, int hits), GrammarRule rule) in rules)
        {
            List<Expression> ways = [];
            if (count >= _min && hits >= contains.Min)
                ways.Add(count > 0 ? compiler.Space : Expression.Empty);
            if (_max is null || count < _max)
            {
                int next = Math.Min(count + 1, countLimit);
                Expression comma = count > 0 ? Comma : Expression.Empty;
                ways.Add(new Expression.Sequence([comma, other, new Expression.Reference(rules[(next, hits)])]));
                if (hits < hitLimit)
                    ways.Add(new Expression.Sequence([comma, hit, new Expression.Reference(rules[(next, hits + 1)])]));
            }
            rule.Body = new Expression.Choice(ways);
        }
        return new Expression.Reference(rules[(0, 0)]);
    }

    /// <summary>Elements from a short list of values, each at most once: one rule per set of values used. Null where it was refused.</summary>
    private Expression.Reference? Unique()
    {
        List<JsonElement> values = [];
        foreach (SchemaAlternative element in compiler.Expander.Expand(alternative.ElementAt(0)))
        {
            if (element.Values is null)
            {
                Refuse("uniqueItems", "is supported only where the elements are an enum or const; nothing else remembers what was written");
                return null;
            }
            values.AddRange(element.Values.Where(v => SchemaValues.Accepts(compiler.Expander, element, v) && !values.Exists(w => JsonElement.DeepEquals(v, w))));
        }
        if (values.Count > MaxUniqueValues)
        {
            Refuse("uniqueItems", $"is supported for up to {MaxUniqueValues} values");
            return null;
        }
        GrammarRule[] rules = [.. Enumerable.Range(0, 1 << values.Count).Select(used => new GrammarRule($"{path} (used {used})"))];
        for (int used = 0; used < rules.Length; used++)
        {
            int count = int.PopCount(used);
            List<Expression> ways = [];
            if (count >= _min)
                ways.Add(count > 0 ? compiler.Space : Expression.Empty);
            for (int i = 0; i < values.Count && (_max is null || count < _max); i++)
            {
                if ((used >> i & 1) != 0)
                    continue;
                if (compiler.Write(values[i]) is { } text)
                    ways.Add(new Expression.Sequence([count > 0 ? Comma : Expression.Empty, Expression.Text(text), new Expression.Reference(rules[used | 1 << i])]));
            }
            rules[used].Body = new Expression.Choice(ways);
        }
        return new Expression.Reference(rules[0]);
    }
}
