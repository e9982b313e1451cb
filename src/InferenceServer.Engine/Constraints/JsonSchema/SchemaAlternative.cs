// One way to satisfy a schema: all its unions decided, all its conjunctions gathered by type. A schema is a list of these.

using System.Text.Json;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.JsonSchema;

/// <summary>Integers and other numbers are told apart, so that sets of types can be complemented.</summary>
[Flags]
internal enum JsonTypes
{
    None = 0,
    Null = 1,
    Boolean = 2,
    Integer = 4,
    Fraction = 8,
    String = 16,
    Array = 32,
    Object = 64,
    Number = Integer | Fraction,
    All = Null | Boolean | Number | String | Array | Object,
}

/// <summary>One schema's say about an object's members. Additional is for those that neither Properties nor Patterns name; null when it says nothing.</summary>
internal sealed record ObjectApplicator(
    IReadOnlyList<(string Name, SchemaNode Schema)> Properties, IReadOnlyList<(string Source, Dfa Keys, SchemaNode Schema)> Patterns, SchemaNode? Additional);

/// <summary>One schema's say about an array's elements: the first ones, and the rest (null when it says nothing).</summary>
internal sealed record ArrayApplicator(IReadOnlyList<SchemaNode> Prefix, SchemaNode? Items);

/// <summary>At least Min and at most Max elements must satisfy the schema.</summary>
internal sealed record ContainsApplicator(SchemaNode Schema, int Min, int? Max);

internal sealed class SchemaAlternative
{
    public JsonTypes Types { get; set; } = JsonTypes.All;

    /// <summary>The only values allowed; null when not enumerated.</summary>
    public List<JsonElement>? Values { get; set; }

    public List<JsonElement> NotValues { get; init; } = [];

    public NumberBounds Number { get; set; } = new();

    public int MinLength { get; set; }

    public int? MaxLength { get; set; }

    public List<Dfa> Strings { get; init; } = [];

    public int MinItems { get; set; }

    public int? MaxItems { get; set; }

    public bool UniqueItems { get; set; }

    public List<ArrayApplicator> Items { get; init; } = [];

    public List<ContainsApplicator> Contains { get; init; } = [];

    public int MinProperties { get; set; }

    public int? MaxProperties { get; set; }

    public List<string> Required { get; init; } = [];

    public List<string> Forbidden { get; init; } = [];

    public List<ObjectApplicator> Members { get; init; } = [];

    public List<SchemaNode> PropertyNames { get; init; } = [];

    /// <summary>For members that no applicator named.</summary>
    public SchemaNode? Unevaluated { get; set; }

    /// <summary>No members but those that some applicator names.</summary>
    public bool IsClosed { get; set; }

    public bool IsContradiction => Types == JsonTypes.None || Values is { Count: 0 } || Required.Exists(Forbidden.Contains) && Types == JsonTypes.Object;

    public SchemaAlternative Clone() => new()
    {
        Types = Types,
        Values = Values is null ? null : [.. Values],
        NotValues = [.. NotValues],
        Number = Number,
        MinLength = MinLength,
        MaxLength = MaxLength,
        Strings = [.. Strings],
        MinItems = MinItems,
        MaxItems = MaxItems,
        UniqueItems = UniqueItems,
        Items = [.. Items],
        Contains = [.. Contains],
        MinProperties = MinProperties,
        MaxProperties = MaxProperties,
        Required = [.. Required],
        Forbidden = [.. Forbidden],
        Members = [.. Members],
        PropertyNames = [.. PropertyNames],
        Unevaluated = Unevaluated,
        IsClosed = IsClosed,
    };

    public void Require(string name)
    {
        if (!Required.Contains(name))
            Required.Add(name);
    }

    /// <summary>The schemas that an element at an index must satisfy together.</summary>
    public List<SchemaNode> ElementAt(int index) =>
        [.. Items.Select(a => index < a.Prefix.Count ? a.Prefix[index] : a.Items).OfType<SchemaNode>()];

    /// <summary>The schemas that the member of a name must satisfy together.</summary>
    public List<SchemaNode> MemberNamed(string name)
    {
        List<SchemaNode> schemas = [];
        bool evaluated = false;
        foreach (ObjectApplicator applicator in Members)
        {
            int before = schemas.Count;
            schemas.AddRange(applicator.Properties.Where(p => p.Name == name).Select(p => p.Schema));
            schemas.AddRange(applicator.Patterns.Where(p => p.Keys.Accepts(name)).Select(p => p.Schema));
            if (schemas.Count == before && applicator.Additional is { } additional)
                schemas.Add(additional);
            evaluated |= schemas.Count > before;
        }
        if (!evaluated && Unevaluated is { } unevaluated)
            schemas.Add(unevaluated);
        return schemas;
    }
}
