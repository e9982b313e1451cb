// Schemas -> alternatives: unions multiplied out, conjunctions gathered, negations pushed inwards until they reduce.
// Every keyword is either enforced, an annotation by the specification, or refused with its path. Where the caller allows that, a refused one is left out
// instead, which only ever accepts more: under a negation all is accepted then.

using System.Runtime.CompilerServices;
using System.Text.Json;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.JsonSchema;

internal sealed partial class SchemaExpander(SchemaDocument document, JsonSchemaOptions options, CancellationToken cancellation)
{
    /// <summary>Unions within conjunctions multiply; a schema past this would compile for seconds.</summary>
    private const int MaxAlternatives = 1_024;

    /// <summary>Branches that may overlap are compared pair by pair, member by member, to this depth.</summary>
    private const int MaxEmptinessDepth = 8;

    /// <summary>Whatever is an object. Named like no place in a document.</summary>
    public static SchemaNode AnyObject { get; } = new(JsonDocument.Parse("""{"type":"object"}""").RootElement, "object", IsNegated: false);

    private static readonly JsonElement False = JsonDocument.Parse("false").RootElement.Clone();

    private readonly Dictionary<(string Pattern, bool Negated), Dfa> _patterns = [];
    private readonly Dictionary<string, bool> _emptiness = [];
    private List<SchemaNode> _referenceChain = [];
    private int _emptinessDepth;

    /// <summary>The ways to satisfy all the schemas together; empty when there is none.</summary>
    public List<SchemaAlternative> Expand(IReadOnlyList<SchemaNode> conjunction)
    {
        List<SchemaAlternative> alternatives = [new()];
        List<SchemaNode> outerChain = _referenceChain;
        _referenceChain = [];
        foreach (SchemaNode node in conjunction)
            alternatives = OrAll(alternatives, node, "", all => And(all, node));
        _referenceChain = outerChain;
        SchemaNode[] saying = [.. conjunction.Where(node => node != AnyObject)];
        foreach (SchemaAlternative alternative in alternatives)
            if (alternative.Unevaluated is { } unevaluated && !(saying.Length == 1 && IsOwnedBy(unevaluated, saying[0])))
            {
                Refuse(unevaluated.Error("is supported only where no schema outside it applies to the same object"));
                alternative.Unevaluated = null;
            }
        return alternatives;
    }

    /// <summary>Throws, or notes that the place is left open.</summary>
    public void Refuse(ConstraintException error)
    {
        if (options.Loosened is not { } loosened)
            throw error;
        if (!loosened.Contains(error.Path))
            loosened.Add(error.Path);
    }

    /// <summary>What a step makes of the alternatives; all of them where it cannot be enforced and that is allowed.</summary>
    private List<SchemaAlternative> OrAll(List<SchemaAlternative> alternatives, SchemaNode node, string keyword, Func<List<SchemaAlternative>, List<SchemaAlternative>> step)
    {
        if (options.Loosened is null)
            return step(alternatives);
        List<SchemaAlternative> before = Copy(alternatives);
        (List<SchemaNode> chain, int links) = (_referenceChain, _referenceChain.Count);
        try
        {
            return step(alternatives);
        }
        catch (Exception e) when (e is ConstraintException or AutomatonTooLargeException)
        {
            Refuse(e as ConstraintException ?? node.Error(keyword, e.Message));
            _referenceChain = chain;
            _referenceChain.RemoveRange(links, _referenceChain.Count - links);
            return before;
        }
    }

    /// <summary>What the schemas say of types, and nothing else of them.</summary>
    public JsonTypes TypesOf(IReadOnlyList<SchemaNode> conjunction) =>
        conjunction.Where(node => !node.IsNegated && node.Element.ValueKind == JsonValueKind.Object && node.Element.TryGetProperty("type", out _))
            .Aggregate(JsonTypes.All, (types, node) => OrAll([new()], node, "type", all => Each(all, a => a.Types &= TypesOf(node, node.Element.GetProperty("type"))))[0].Types & types);

    private bool IsOwnedBy(SchemaNode unevaluated, SchemaNode node) => unevaluated.Path == Follow(node).Path + "/unevaluatedProperties";

    /// <summary>A schema that is nothing but a reference stands for what it names, so that both share a rule.</summary>
    public SchemaNode Follow(SchemaNode node)
    {
        HashSet<SchemaNode> seen = [];
        while (seen.Add(node) && node.Element.ValueKind == JsonValueKind.Object && node.Element.TryGetProperty("$ref", out JsonElement reference)
            && node.Element.EnumerateObject().Count() == 1)
        {
            try
            {
                node = document.Resolve(node, reference);
            }
            catch (ConstraintException) when (options.Loosened is not null)
            {
                return node; // left open, and said so, where it is expanded
            }
        }
        return node;
    }

    /// <summary>What tells one conjunction from another.</summary>
    public static string KeyOf(IEnumerable<SchemaNode> conjunction) => string.Join('|', conjunction.Select(n => n.IsNegated ? "!" + n.Path : n.Path));

    /// <summary>Whether nothing satisfies all the schemas together. False when that is not easily seen.</summary>
    public bool IsEmpty(IReadOnlyList<SchemaNode> conjunction)
    {
        string key = KeyOf(conjunction);
        if (_emptiness.TryGetValue(key, out bool known))
            return known;
        if (_emptinessDepth >= MaxEmptinessDepth)
            return false;
        _emptiness[key] = false; // what it may ask again while it is being answered
        _emptinessDepth++;
        try
        {
            return _emptiness[key] = Expand(conjunction).TrueForAll(IsEmpty);
        }
        catch (AutomatonTooLargeException)
        {
            return false;
        }
        finally
        {
            _emptinessDepth--;
        }
    }

    private bool IsEmpty(SchemaAlternative alternative)
    {
        if (alternative.IsContradiction)
            return true;
        if (alternative.Values is { } values)
            return values.TrueForAll(v => !SchemaValues.Accepts(this, alternative, v));
        JsonTypes left = alternative.Types;
        if (left.HasFlag(JsonTypes.String) && SchemaValues.StringsOf(alternative) is { IsEmpty: true })
            left &= ~JsonTypes.String;
        if ((left & JsonTypes.Number) != 0 && NumberAutomaton.IsEmpty(SchemaValues.NumbersOf(alternative)))
            left &= ~JsonTypes.Number;
        if (left.HasFlag(JsonTypes.Object)
            && alternative.Required.Exists(name => alternative.Forbidden.Contains(name) || IsEmpty(alternative.MemberNamed(name))))
            left &= ~JsonTypes.Object;
        if (left.HasFlag(JsonTypes.Array) && (alternative.MinItems > (alternative.MaxItems ?? int.MaxValue)
            || Enumerable.Range(0, Math.Min(alternative.MinItems, 16)).Any(i => IsEmpty(alternative.ElementAt(i)))))
            left &= ~JsonTypes.Array;
        return left == JsonTypes.None;
    }

    private List<SchemaAlternative> And(List<SchemaAlternative> alternatives, SchemaNode node)
    {
        cancellation.ThrowIfCancellationRequested();
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack())
            throw node.Error("refers to other schemas through too many levels");
        if (alternatives.Count == 0 || node.IsFalse)
            return [];
        if (node.IsTrue)
            return alternatives;
        if (node.Element.ValueKind != JsonValueKind.Object)
        {
            Refuse(node.Error("a schema must be an object, true or false"));
            return alternatives;
        }
        if (_referenceChain.Contains(node))
            throw node.Error("refers to itself without anything in between");
        _referenceChain.Add(node);
        alternatives = node.IsNegated ? AndNot(alternatives, node) : AndAll(alternatives, node);
        _referenceChain.RemoveAt(_referenceChain.Count - 1);
        alternatives.RemoveAll(a => a.IsContradiction);
        return alternatives.Count <= MaxAlternatives ? alternatives : throw node.Error($"its unions multiply to more than {MaxAlternatives} alternatives");
    }

    private List<SchemaAlternative> AndAll(List<SchemaAlternative> alternatives, SchemaNode node)
    {
        foreach (JsonProperty keyword in node.Element.EnumerateObject())
            alternatives = Apply(alternatives, node, keyword.Name, keyword.Value);
        return alternatives;
    }

    /// <summary>Not (a and b) is (not a) or (not b).</summary>
    private List<SchemaAlternative> AndNot(List<SchemaAlternative> alternatives, SchemaNode node)
    {
        List<SchemaAlternative> result = [];
        foreach (JsonProperty keyword in node.Element.EnumerateObject())
            if (!IsAnnotation(keyword.Name) && keyword.Name is not ("then" or "else" or "minContains" or "maxContains" or "nullable") && !IsFlagOfOldDrafts(keyword.Name, keyword.Value))
                result.AddRange(ApplyNegated(Copy(alternatives), node, keyword.Name, keyword.Value));
        return result;
    }

    private static List<SchemaAlternative> Copy(List<SchemaAlternative> alternatives) => [.. alternatives.Select(a => a.Clone())];

    /// <summary>The union of several ways to go on.</summary>
    private static List<SchemaAlternative> Branch(List<SchemaAlternative> alternatives, IEnumerable<Func<List<SchemaAlternative>, List<SchemaAlternative>>> ways) =>
        [.. ways.SelectMany(way => way(Copy(alternatives)))];

    private static List<SchemaAlternative> Each(List<SchemaAlternative> alternatives, Action<SchemaAlternative> change)
    {
        foreach (SchemaAlternative alternative in alternatives)
            change(alternative);
        return alternatives;
    }

    /// <summary>Exactly one branch: each in turn, without those of the others that it may overlap with.</summary>
    private List<SchemaAlternative> AndExactlyOne(List<SchemaAlternative> alternatives, SchemaNode node, List<SchemaNode> branches)
    {
        List<SchemaAlternative> result = [];
        for (int i = 0; i < branches.Count; i++)
        {
            List<SchemaAlternative> one = And(Copy(alternatives), branches[i]);
            for (int j = 0; j < branches.Count; j++)
            {
                if (i == j || IsEmpty([branches[i], branches[j]]))
                    continue;
                one = OrAll(one, node, "oneOf", all =>
                {
                    try
                    {
                        return And(all, branches[j].Not);
                    }
                    catch (ConstraintException e)
                    {
                        throw node.Error("oneOf", $"branches {i} and {j} can both match, and excluding the overlap is not supported ({e.Message}); " +
                            "make them exclusive (for example by a const property) or use anyOf");
                    }
                });
            }
            result.AddRange(one);
        }
        return result;
    }

    private static List<SchemaNode> Branches(SchemaNode node, string keyword, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() == 0)
            throw node.Error(keyword, "must be an array of schemas, not empty");
        List<SchemaNode> branches = [];
        foreach (JsonElement branch in value.EnumerateArray())
            branches.Add(node.Child(value, keyword).Child(branch, $"{branches.Count}"));
        return branches;
    }

    /// <summary>More than any reply has of anything: as an upper bound it says nothing.</summary>
    private const int MaxCount = int.MaxValue / 4;

    private static int Count(SchemaNode node, string keyword, JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && ExactDecimal.Parse(value.GetRawText()) is { IsInteger: true, IsNegative: false } number
            && (number.Mantissa <= MaxCount || keyword.StartsWith("max", StringComparison.Ordinal))
            ? number.Mantissa <= MaxCount ? (int)number.Mantissa : MaxCount
            : throw node.Error(keyword, $"must be a whole number, not negative and at most {MaxCount}");

    private static ExactDecimal Number(SchemaNode node, string keyword, JsonElement value) =>
        value.ValueKind == JsonValueKind.Number
            ? ExactDecimal.Parse(value.GetRawText()) ?? throw node.Error(keyword, "has more digits than are supported")
            : throw node.Error(keyword, "must be a number");

    private static bool Flag(SchemaNode node, string keyword, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw node.Error(keyword, "must be true or false"),
    };

    private static List<string> Names(SchemaNode node, string keyword, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Array || value.EnumerateArray().Any(v => v.ValueKind != JsonValueKind.String))
            throw node.Error(keyword, "must be an array of strings");
        List<string> names = [.. value.EnumerateArray().Select(v => Text(node, keyword, v))];
        return names;
    }

    private static string Text(SchemaNode node, string keyword, JsonElement value) =>
        value.ValueKind == JsonValueKind.String ? value.GetString()! : throw node.Error(keyword, "must be a string");

    private JsonTypes TypesOf(SchemaNode node, JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.Array)
            return value.EnumerateArray().Aggregate(JsonTypes.None, (types, one) => types | TypesOf(node, one));
        string name = Text(node, "type", value);
        return (options.Loosened is null ? name : name.ToLowerInvariant()) switch
        {
            "null" => JsonTypes.Null,
            "boolean" => JsonTypes.Boolean,
            "integer" => JsonTypes.Integer,
            "number" => JsonTypes.Number,
            "string" => JsonTypes.String,
            "array" => JsonTypes.Array,
            "object" => JsonTypes.Object,
            _ => throw node.Error("type", $"unknown type '{name}'"),
        };
    }

    private Dfa Pattern(SchemaNode node, string keyword, string pattern, bool negated)
    {
        if (_patterns.TryGetValue((pattern, negated), out Dfa? known))
            return known;
        try
        {
            Dfa dfa = negated ? Pattern(node, keyword, pattern, negated: false).Complement() : RegexCompiler.CompileSearch(pattern);
            _patterns.Add((pattern, negated), dfa);
            return dfa;
        }
        catch (Exception e) when (e is RegexSyntaxException or AutomatonTooLargeException)
        {
            throw node.Error(keyword, e.Message);
        }
    }
}
