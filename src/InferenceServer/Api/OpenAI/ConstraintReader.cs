using System.Text.Json;
using InferenceServer.Chat;

namespace InferenceServer.Api.OpenAI;

/// <summary>
/// Reads what a reply must obey: <c>response_format</c>, <c>grammar</c>, <c>regex</c>, <c>choice</c>, and vLLM's names for them. At most one may be given,
/// and none is ever dropped.
/// </summary>
internal static class ConstraintReader
{
    private const int MaxChoices = 10_000;
    private const int MaxNameLength = 64;

    /// <summary>Returns <paramref name="options"/> with the constraint of <paramref name="body"/>.</summary>
    public static GenerationOptions Read(JsonFields body, GenerationOptions options, List<string> ignored)
    {
        List<ConstraintSource> given = [];
        ReadResponseFormat(body, given, ignored);
        Grammar(body, "grammar", given);
        Regex(body, "regex", given);
        Choice(body, "choice", given);
        ReadOtherNames(body, given, ignored);
        if (given.Count > 1)
            throw RequestProblem.Invalid($"'{given[0].Path}' and '{given[1].Path}' cannot both be given: a reply obeys one constraint.", given[1].Path, "invalid_value");
        if (given.Count == 1 && options.IgnoreEndOfGeneration)
            throw RequestProblem.Invalid($"{{where}} and '{given[0].Path}' cannot both be given: a reply that is whole must end.", "ignore_eos", "invalid_value");
        return options with { Constraint = given.FirstOrDefault() };
    }

    private static void ReadResponseFormat(JsonFields body, List<ConstraintSource> given, List<string> ignored)
    {
        if (body.Object("response_format") is not { } format)
            return;
        _ = format.Require("type");
        string type = format.OneOf("type", "text", "json_object", "json_schema")!;
        if (type == "json_object")
            given.Add(format.Take("schema") is { } schema
                ? JsonValue.Schema(schema, format.PathOf("schema"))
                : ConstraintSource.JsonObject(format.PathOf("type")));
        else if (type == "json_schema")
            ReadJsonSchema(new JsonFields(format.Require("json_schema"), format.PathOf("json_schema")), given, ignored);
        format.Close(ignored);
    }

    private static void ReadJsonSchema(JsonFields fields, List<ConstraintSource> given, List<string> ignored)
    {
        JsonElement schema = fields.Require("schema");
        ReadName(fields);
        given.Add(JsonValue.Schema(schema, fields.PathOf("schema")));
        fields.String("description");
        fields.Boolean("strict");
        fields.Close(ignored);
    }

    /// <summary>A schema's name; null when absent.</summary>
    public static string? ReadName(JsonFields fields)
    {
        string? name = fields.String("name");
        if (name is not null && (name.Length is 0 or > MaxNameLength || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-')))
            throw RequestProblem.Invalid($"{{where}} must have 1 to {MaxNameLength} letters, digits, '_' or '-'.", fields.PathOf("name"), "invalid_value");
        return name;
    }

    /// <summary>vLLM's: the four <c>guided_</c> fields of old, and <c>structured_outputs</c>.</summary>
    private static void ReadOtherNames(JsonFields body, List<ConstraintSource> given, List<string> ignored)
    {
        AnyJson(body, "guided_json", given);
        Grammar(body, "guided_grammar", given);
        Regex(body, "guided_regex", given);
        Choice(body, "guided_choice", given);
        if (body.Object("structured_outputs") is not { } outputs)
            return;
        AnyJson(outputs, "json", given);
        Grammar(outputs, "grammar", given);
        Regex(outputs, "regex", given);
        Choice(outputs, "choice", given);
        if (outputs.Boolean("json_object") == true)
            given.Add(ConstraintSource.JsonObject(outputs.PathOf("json_object")));
        if (outputs.Take("structural_tag") is not null)
            throw RequestProblem.Unsupported(outputs.PathOf("structural_tag"), "this server has no such constraint.");
        outputs.Close(ignored);
    }

    private static void Grammar(JsonFields fields, string name, List<ConstraintSource> given)
    {
        if (fields.String(name) is { } grammar)
            given.Add(ConstraintSource.Gbnf(grammar, fields.PathOf(name)));
    }

    private static void Regex(JsonFields fields, string name, List<ConstraintSource> given)
    {
        if (fields.String(name) is { } pattern)
            given.Add(ConstraintSource.Regex(pattern, fields.PathOf(name)));
    }

    private static void Choice(JsonFields fields, string name, List<ConstraintSource> given)
    {
        if (fields.Take(name) is { } value)
            given.Add(ConstraintSource.Choices(
                JsonFields.Items(value, fields.PathOf(name), 1, MaxChoices).ConvertAll(item => JsonValue.String(item.Value, item.Path)), value.GetRawText(), fields.PathOf(name)));
    }

    /// <summary>A schema as JSON, or as text that holds it.</summary>
    private static void AnyJson(JsonFields fields, string name, List<ConstraintSource> given)
    {
        if (fields.Take(name) is { } value)
            given.Add(value.ValueKind == JsonValueKind.String
                ? ConstraintSource.JsonSchema(JsonValue.String(value, fields.PathOf(name)), fields.PathOf(name))
                : JsonValue.Schema(value, fields.PathOf(name)));
    }
}
