using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Engine.Constraints;

namespace InferenceServer.Api;

/// <summary>What a reply must obey, from the places where dialects say it.</summary>
internal static class ConstraintSources
{
    public static ConstraintSource JsonObject(string path) => new(path, "json object", _ => ConstraintPart.JsonObject);

    public static ConstraintSource JsonSchema(JsonElement schema, string path) => schema.ValueKind is JsonValueKind.Object
        ? JsonSchema(schema.GetRawText(), path)
        : throw JsonValue.WrongType(schema, path, "an object, a JSON Schema");

    /// <param name="schema">As JSON text.</param>
    public static ConstraintSource JsonSchema(string schema, string path) =>
        new(path, $"json schema {schema}", cancellation => ConstraintPart.JsonSchema(schema, null, cancellation));

    public static ConstraintSource Gbnf(string grammar, string path) => new(path, $"grammar {grammar}", _ => ConstraintPart.Gbnf(grammar));

    public static ConstraintSource Regex(string pattern, string path) => new(path, $"regex {pattern}", _ => ConstraintPart.Regex(pattern));

    /// <param name="source">The choices as they were sent.</param>
    public static ConstraintSource Choices(IReadOnlyList<string> choices, string source, string path) => new(path, $"choice {source}", _ => ConstraintPart.Choices(choices));
}
