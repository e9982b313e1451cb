using System.Text.Json;

namespace InferenceServer.Chat.Replies;

/// <summary>The JSON types that a value may have.</summary>
[Flags]
internal enum JsonTypes
{
    None = 0,
    String = 1,
    Number = 2,
    Boolean = 4,
    Null = 8,
    Array = 16,
    Object = 32,
    Any = 63,
}

/// <summary>What readers must know of a function: formats that write strings without quotes leave it to the schema which values are strings.</summary>
/// <param name="Parameters">The JSON schema of the arguments; null or undefined for any.</param>
public sealed record ToolSignature(string Name, JsonElement? Parameters)
{
    /// <summary>Where the schema stands in the request, as errors name it.</summary>
    public string Path { get; init; } = "tools";

    /// <summary>Arguments obey the schema to the letter, or the request is refused. Else what cannot be enforced is left open.</summary>
    public bool IsExact { get; init; } = true;

    private const int MaxReferences = 32;

    /// <summary>The schema of one argument; null when anything goes.</summary>
    internal JsonElement? Parameter(string key) => Property(Parameters, key);

    /// <summary>The schema of a member of what another schema describes.</summary>
    internal JsonElement? Property(JsonElement? schema, string key) =>
        Follow(schema) is { ValueKind: JsonValueKind.Object } at
        && at.TryGetProperty("properties", out JsonElement properties) && properties.ValueKind == JsonValueKind.Object
        && properties.TryGetProperty(key, out JsonElement property)
            ? property
            : null;

    internal JsonElement? Items(JsonElement? schema) =>
        Follow(schema) is { ValueKind: JsonValueKind.Object } at && at.TryGetProperty("items", out JsonElement items) ? items : null;

    /// <summary>The types that a schema leaves open, judged by <c>type</c>, <c>enum</c>, <c>const</c> and what combines them.</summary>
    internal JsonTypes TypesOf(JsonElement? schema) => TypesOf(schema, MaxReferences);

    /// <summary>Whether a text is among the values that a schema lists.</summary>
    internal bool Lists(JsonElement? schema, string text)
    {
        if (Follow(schema) is not { ValueKind: JsonValueKind.Object } at)
            return false;
        return (at.TryGetProperty("enum", out JsonElement values) && values.ValueKind == JsonValueKind.Array && values.EnumerateArray().Any(value => Is(value, text)))
            || (at.TryGetProperty("const", out JsonElement constant) && Is(constant, text));
        static bool Is(JsonElement value, string text) => value.ValueKind == JsonValueKind.String && value.ValueEquals(text);
    }

    private JsonTypes TypesOf(JsonElement? schema, int depth)
    {
        if (depth == 0 || Follow(schema) is not { ValueKind: JsonValueKind.Object } at)
            return JsonTypes.Any;
        JsonTypes types = JsonTypes.Any;
        if (at.TryGetProperty("type", out JsonElement type))
            types &= type.ValueKind == JsonValueKind.Array ? Union(type, Named) : Named(type);
        if (at.TryGetProperty("enum", out JsonElement values))
            types &= Union(values, TypeOf);
        if (at.TryGetProperty("const", out JsonElement constant))
            types &= TypeOf(constant);
        foreach (string name in (ReadOnlySpan<string>)["anyOf", "oneOf"])
            if (at.TryGetProperty(name, out JsonElement branches))
                types &= Union(branches, branch => TypesOf(branch, depth - 1));
        if (at.TryGetProperty("allOf", out JsonElement all) && all.ValueKind == JsonValueKind.Array)
            foreach (JsonElement each in all.EnumerateArray())
                types &= TypesOf(each, depth - 1);
        return types;
    }

    private static JsonTypes Union(JsonElement items, Func<JsonElement, JsonTypes> typesOf) =>
        items.ValueKind == JsonValueKind.Array ? items.EnumerateArray().Aggregate(JsonTypes.None, (types, item) => types | typesOf(item)) : JsonTypes.Any;

    private static JsonTypes Named(JsonElement name) => (name.ValueKind == JsonValueKind.String ? name.GetString() : null) switch
    {
        "string" => JsonTypes.String,
        "number" or "integer" => JsonTypes.Number,
        "boolean" => JsonTypes.Boolean,
        "null" => JsonTypes.Null,
        "array" => JsonTypes.Array,
        "object" => JsonTypes.Object,
        _ => JsonTypes.Any,
    };

    private static JsonTypes TypeOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => JsonTypes.String,
        JsonValueKind.Number => JsonTypes.Number,
        JsonValueKind.True or JsonValueKind.False => JsonTypes.Boolean,
        JsonValueKind.Null => JsonTypes.Null,
        JsonValueKind.Array => JsonTypes.Array,
        _ => JsonTypes.Object,
    };

    /// <summary>What a chain of local references leads to; null when it leads nowhere.</summary>
    private JsonElement? Follow(JsonElement? schema)
    {
        for (int i = 0; i < MaxReferences; i++)
        {
            if (schema is not { ValueKind: JsonValueKind.Object } at || !at.TryGetProperty("$ref", out JsonElement reference)
                || reference.ValueKind != JsonValueKind.String || reference.GetString() is not ['#', .. var pointer])
                return schema;
            schema = Parameters;
            foreach (string step in pointer.Split('/', StringSplitOptions.RemoveEmptyEntries))
                schema = schema is { ValueKind: JsonValueKind.Object } parent
                    && parent.TryGetProperty(step.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal), out JsonElement child)
                        ? child
                        : null;
        }

        return null;
    }
}
