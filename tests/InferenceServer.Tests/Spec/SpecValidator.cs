using System.Text.Json;
using System.Text.RegularExpressions;

namespace InferenceServer.Tests.Spec;

/// <summary>
/// Validates JSON against schemas of an OpenAPI document: $ref, allOf, anyOf, oneOf with discriminators, nullable, types, enums, required and the limits.
/// A property that no schema describes is an error too, as a misspelt optional field would otherwise pass. A keyword it does not know throws: nothing is
/// left unchecked. One departure from JSON Schema: oneOf asks for at least one match, since alternatives of OpenAI's document overlap (a message of an
/// input is both an EasyInputMessage and an Item).
/// </summary>
/// <param name="schemas">The document's components.schemas.</param>
/// <param name="extras">Names of properties that may appear although no schema has them.</param>
internal sealed class SpecValidator(JsonElement schemas, IReadOnlySet<string> extras)
{
    private const string RefPrefix = "#/components/schemas/";

    private static readonly HashSet<string> Annotations =
        ["description", "title", "example", "examples", "default", "deprecated", "format", "discriminator", "nullable"];

    /// <summary>What is known of one place in the value: the properties that some schema describes, or that any may be there.</summary>
    private sealed class Known
    {
        public HashSet<string> Names { get; } = [];

        public bool Any { get; set; }

        public void Add(Known other)
        {
            Names.UnionWith(other.Names);
            Any |= other.Any;
        }
    }

    /// <summary>What is wrong, each with its path; empty when the value is as the schema says.</summary>
    public List<string> Errors(string schema, JsonElement value)
    {
        List<string> errors = [];
        CheckPlace(Resolve(RefPrefix + schema), value, "$", errors);
        return errors;
    }

    private JsonElement Resolve(string reference) =>
        reference.StartsWith(RefPrefix, StringComparison.Ordinal) && schemas.TryGetProperty(reference[RefPrefix.Length..], out JsonElement schema)
            ? schema
            : throw new NotSupportedException($"the document has no schema {reference}");

    private void CheckPlace(JsonElement schema, JsonElement value, string path, List<string> errors)
    {
        Known known = new();
        Check(schema, value, path, known, errors);
        if (value.ValueKind != JsonValueKind.Object || known.Any)
            return;
        foreach (JsonProperty property in value.EnumerateObject())
            if (!known.Names.Contains(property.Name) && !extras.Contains(property.Name))
                errors.Add($"{path}.{property.Name} is in no schema");
    }

    private void Check(JsonElement schema, JsonElement value, string path, Known known, List<string> errors)
    {
        if (value.ValueKind == JsonValueKind.Null && schema.TryGetProperty("nullable", out JsonElement nullable) && nullable.GetBoolean())
            return;
        known.Any |= IsFreeForm(schema);
        foreach (JsonProperty keyword in schema.EnumerateObject())
            CheckKeyword(schema, keyword, value, path, known, errors);
    }

    /// <summary>An object of which nothing is said may hold anything.</summary>
    private static bool IsFreeForm(JsonElement schema)
    {
        foreach (string keyword in (ReadOnlySpan<string>)["$ref", "allOf", "anyOf", "oneOf"])
            if (schema.TryGetProperty(keyword, out _))
                return false;
        if (schema.TryGetProperty("additionalProperties", out JsonElement additional))
            return additional.ValueKind != JsonValueKind.False;
        return !schema.TryGetProperty("properties", out JsonElement properties) || !properties.EnumerateObject().Any();
    }

    private void CheckKeyword(JsonElement schema, JsonProperty keyword, JsonElement value, string path, Known known, List<string> errors)
    {
        switch (keyword.Name)
        {
            case "$ref":
                Check(Resolve(keyword.Value.GetString()!), value, path, known, errors);
                break;
            case "allOf":
                foreach (JsonElement part in keyword.Value.EnumerateArray())
                    Check(part, value, path, known, errors);
                break;
            case "anyOf" or "oneOf":
                CheckAlternatives(schema, keyword.Value, value, path, known, errors);
                break;
            case "type":
                if (!IsOfType(value, keyword.Value.GetString()!))
                    errors.Add($"{path} must be of type {keyword.Value}; it is {Excerpt(value)}");
                break;
            case "enum":
                if (!keyword.Value.EnumerateArray().Any(allowed => JsonElement.DeepEquals(allowed, value)))
                    errors.Add($"{path} must be one of {keyword.Value.GetRawText()}; it is {Excerpt(value)}");
                break;
            case "properties" or "required" or "additionalProperties":
                if (value.ValueKind == JsonValueKind.Object)
                    CheckObject(schema, keyword, value, path, known, errors);
                break;
            case "items" or "minItems" or "maxItems":
                if (value.ValueKind == JsonValueKind.Array)
                    CheckArray(keyword, value, path, errors);
                break;
            default:
                CheckLimit(keyword, value, path, errors);
                break;
        }
    }

    private void CheckObject(JsonElement schema, JsonProperty keyword, JsonElement value, string path, Known known, List<string> errors)
    {
        if (keyword.Name == "required")
        {
            foreach (string name in keyword.Value.EnumerateArray().Select(name => name.GetString()!))
                if (!value.TryGetProperty(name, out _))
                    errors.Add($"{path}.{name} is required");
            return;
        }

        bool isAdditional = keyword.Name == "additionalProperties";
        if (isAdditional && keyword.Value.ValueKind != JsonValueKind.Object)
            return;
        foreach (JsonProperty property in value.EnumerateObject())
        {
            if (isAdditional)
            {
                if (!schema.TryGetProperty("properties", out JsonElement named) || !named.TryGetProperty(property.Name, out _))
                    CheckPlace(keyword.Value, property.Value, $"{path}.{property.Name}", errors);
            }
            else if (keyword.Value.TryGetProperty(property.Name, out JsonElement described))
            {
                known.Names.Add(property.Name);
                CheckPlace(described, property.Value, $"{path}.{property.Name}", errors);
            }
        }
    }

    private void CheckArray(JsonProperty keyword, JsonElement value, string path, List<string> errors)
    {
        int length = value.GetArrayLength();
        if (keyword.Name == "items")
        {
            int index = 0;
            foreach (JsonElement item in value.EnumerateArray())
                CheckPlace(keyword.Value, item, $"{path}[{index++}]", errors);
        }
        else if (keyword.Name == "minItems" ? length < keyword.Value.GetInt32() : length > keyword.Value.GetInt32())
            errors.Add($"{path} has {length} items; {keyword.Name} is {keyword.Value}");
    }

    private static void CheckLimit(JsonProperty keyword, JsonElement value, string path, List<string> errors)
    {
        bool isText = value.ValueKind == JsonValueKind.String, isNumber = value.ValueKind == JsonValueKind.Number;
        bool broken = keyword.Name switch
        {
            "minLength" => isText && value.GetString()!.Length < keyword.Value.GetInt32(),
            "maxLength" => isText && value.GetString()!.Length > keyword.Value.GetInt32(),
            "pattern" => isText && !Regex.IsMatch(value.GetString()!, keyword.Value.GetString()!),
            "minimum" => isNumber && value.GetDouble() < keyword.Value.GetDouble(),
            "maximum" => isNumber && value.GetDouble() > keyword.Value.GetDouble(),
            _ => Annotations.Contains(keyword.Name) || keyword.Name.StartsWith("x-", StringComparison.Ordinal)
                ? false
                : throw new NotSupportedException($"the keyword {keyword.Name} at {path} is not checked"),
        };
        if (broken)
            errors.Add($"{path} is {Excerpt(value)}; {keyword.Name} is {keyword.Value}");
    }

    private void CheckAlternatives(JsonElement schema, JsonElement alternatives, JsonElement value, string path, Known known, List<string> errors)
    {
        List<JsonElement> candidates = [.. alternatives.EnumerateArray()];
        if (schema.TryGetProperty("discriminator", out JsonElement discriminator) && value.ValueKind == JsonValueKind.Object
            && discriminator.GetProperty("propertyName").GetString() is { } name && value.TryGetProperty(name, out JsonElement tag))
        {
            candidates = candidates.FindAll(candidate => MayBe(candidate, name, tag));
            if (candidates.Count == 0)
            {
                errors.Add($"{path}.{name} is {Excerpt(tag)}, which none of the alternatives has");
                return;
            }
        }

        List<string>? fewest = null;
        bool matched = false;
        foreach (JsonElement candidate in candidates)
        {
            List<string> wrong = [];
            Known described = new();
            Check(candidate, value, path, described, wrong);
            if (wrong.Count > 0)
            {
                // "Or null" has the fewest errors, and is never what was meant.
                if (fewest is null || (wrong.Count < fewest.Count && !IsNull(candidate)))
                    fewest = wrong;
                continue;
            }

            matched = true;
            known.Add(described);
        }

        if (!matched)
            errors.AddRange(fewest!);
    }

    private static bool IsNull(JsonElement schema) => schema.TryGetProperty("type", out JsonElement type) && type.ValueEquals("null");

    /// <summary>Whether a schema's discriminating property takes this value.</summary>
    private bool MayBe(JsonElement schema, string name, JsonElement tag)
    {
        if (schema.TryGetProperty("$ref", out JsonElement reference))
            return MayBe(Resolve(reference.GetString()!), name, tag);
        foreach (string keyword in (ReadOnlySpan<string>)["anyOf", "oneOf"])
            if (schema.TryGetProperty(keyword, out JsonElement alternatives))
                return alternatives.EnumerateArray().Any(part => MayBe(part, name, tag));
        if (schema.TryGetProperty("allOf", out JsonElement parts))
            return parts.EnumerateArray().All(part => MayBe(part, name, tag));
        return !schema.TryGetProperty("properties", out JsonElement properties) || !properties.TryGetProperty(name, out JsonElement property)
            || !property.TryGetProperty("enum", out JsonElement values) || values.EnumerateArray().Any(allowed => JsonElement.DeepEquals(allowed, tag));
    }

    private static bool IsOfType(JsonElement value, string type) => type switch
    {
        "string" => value.ValueKind == JsonValueKind.String,
        "number" => value.ValueKind == JsonValueKind.Number,
        "integer" => value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && double.IsInteger(number),
        "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        "array" => value.ValueKind == JsonValueKind.Array,
        "object" => value.ValueKind == JsonValueKind.Object,
        "null" => value.ValueKind == JsonValueKind.Null,
        _ => throw new NotSupportedException($"the type {type} is not checked"),
    };

    private static string Excerpt(JsonElement value) => value.GetRawText() is { Length: > 80 } text ? text[..80] + "..." : value.GetRawText();
}
