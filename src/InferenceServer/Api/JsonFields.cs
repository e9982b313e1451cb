using System.Text.Json;

namespace InferenceServer.Api;

/// <summary>
/// The fields of one JSON object, taken by name and type. A wrong one is a 400 that names its path; what nobody took is reported by <see cref="Close"/>.
/// JSON null counts as absent, as it does for OpenAI.
/// </summary>
internal sealed class JsonFields
{
    private readonly List<JsonProperty> _properties = [];
    private readonly string _path;
    private ulong _taken;

    // What a client may invent is bounded: the set of taken fields is one machine word.
    private const int MaxProperties = 64;

    public JsonFields(JsonElement element, string path)
    {
        if (element.ValueKind != JsonValueKind.Object)
            throw JsonValue.WrongType(element, path, "an object");
        _path = path;
        foreach (JsonProperty property in element.EnumerateObject())
            _properties.Add(property);
        if (_properties.Count > MaxProperties)
            throw RequestProblem.Invalid($"{(path.Length == 0 ? "The body" : $"'{path}'")} has {_properties.Count} fields; at most {MaxProperties} are read.",
                path.Length == 0 ? null : path, "too_many_fields");
    }

    /// <summary>The path of a field of this object, as errors name it.</summary>
    public string PathOf(string name) => _path.Length == 0 ? name : $"{_path}.{name}";

    public JsonElement? Take(string name)
    {
        for (int i = 0; i < _properties.Count; i++)
        {
            if (!_properties[i].NameEquals(name))
                continue;
            _taken |= 1UL << i;
            JsonElement value = _properties[i].Value;
            return value.ValueKind == JsonValueKind.Null ? null : value;
        }

        return null;
    }

    /// <summary>Whether it is there, if only as null; it is not taken.</summary>
    public bool Has(string name) => _properties.Exists(property => property.NameEquals(name));

    public JsonElement Require(string name) => Take(name) ?? throw Missing(PathOf(name));

    public static RequestProblem Missing(string path) => RequestProblem.Invalid($"{{where}} is required.", path, "missing_required_parameter");

    public string? String(string name) => Take(name) is { } value ? JsonValue.String(value, PathOf(name)) : null;

    public string RequireString(string name) => JsonValue.String(Require(name), PathOf(name));

    /// <summary>A text that may hold what no tokenizer takes.</summary>
    public string? Said(string name) => Take(name) is { } value ? JsonValue.Said(value, PathOf(name)) : null;

    public string RequireSaid(string name) => JsonValue.Said(Require(name), PathOf(name));

    public bool? Boolean(string name) => Take(name) is { } value ? JsonValue.Boolean(value, PathOf(name)) : null;

    public int? Integer(string name, int min, int max) => (int?)Long(name, min, max);

    public long? Long(string name, long min, long max) => Take(name) is { } value ? JsonValue.Integer(value, PathOf(name), min, max) : null;

    public long? Seed(string name) => Take(name) is { } value ? JsonValue.Seed(value, PathOf(name)) : null;

    public float? Number(string name, double min, double max) => Take(name) is { } value ? (float)JsonValue.Number(value, PathOf(name), min, max) : null;

    public JsonFields? Object(string name) => Take(name) is { } value ? new JsonFields(value, PathOf(name)) : null;

    /// <summary>A string out of a fixed set; null when absent.</summary>
    public string? OneOf(string name, params ReadOnlySpan<string> allowed)
    {
        if (String(name) is not { } value)
            return null;
        return allowed.Contains(value) ? value : throw JsonValue.NotOneOf(PathOf(name), value, allowed);
    }

    /// <summary>The items of an array with their paths; null when absent.</summary>
    public List<(JsonElement Value, string Path)>? Array(string name, int min, int max) =>
        Take(name) is { } value ? Items(value, PathOf(name), min, max) : null;

    public static List<(JsonElement Value, string Path)> Items(JsonElement value, string path, int min, int max)
    {
        if (value.ValueKind != JsonValueKind.Array)
            throw JsonValue.WrongType(value, path, "an array");
        int count = value.GetArrayLength();
        if (count < min || count > max)
            throw RequestProblem.Invalid($"{{where}} must have {min} to {max} items; it has {count}.", path, "invalid_length");
        List<(JsonElement, string)> items = new(count);
        foreach (JsonElement item in value.EnumerateArray())
            items.Add((item, $"{path}[{items.Count}]"));
        return items;
    }

    /// <summary>Adds the paths of the fields that nobody took.</summary>
    public void Close(List<string> ignored)
    {
        for (int i = 0; i < _properties.Count; i++)
            if ((_taken & (1UL << i)) == 0)
                ignored.Add(PathOf(NameOf(_properties[i])));
    }

    private static string NameOf(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException)
        {
            throw RequestProblem.Invalid("A property name is not valid Unicode text.", null, "invalid_json");
        }
    }
}
