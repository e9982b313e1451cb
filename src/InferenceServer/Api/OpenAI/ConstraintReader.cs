using System.Text.Json;
using InferenceServer.Engine.Constraints;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI;

/// <summary>
/// Reads what a reply must obey: <c>response_format</c>, <c>grammar</c>, <c>regex</c>, <c>choice</c>, and vLLM's names for them. At most one may be given,
/// and none is ever dropped.
/// </summary>
internal static class ConstraintReader
{
    private const int MaxChoices = 10_000;
    private const int MaxNameLength = 64;

    /// <summary>Returns <paramref name="target"/> with the constraint of <paramref name="body"/>.</summary>
    public static T Read<T>(JsonFields body, T target, List<string> ignored)
        where T : GenerationParameters
    {
        List<ConstraintSource> given = [];
        T read = target with
        {
            ResponseFormat = ReadResponseFormat(body, given, ignored),
            Grammar = Grammar(body, "grammar", given),
            Regex = Regex(body, "regex", given),
            Choice = Choice(body, "choice", given),
        };
        ReadOtherNames(body, given, ignored);
        if (given.Count > 1)
            throw ApiException.InvalidValue($"'{given[0].Param}' and '{given[1].Param}' cannot both be given: a reply obeys one constraint.", given[1].Param, "invalid_value");
        if (given.Count == 1 && read.IgnoreEos)
            throw ApiException.InvalidValue($"'ignore_eos' and '{given[0].Param}' cannot both be given: a reply that is whole must end.", "ignore_eos", "invalid_value");
        return read with { Constraint = given.FirstOrDefault() };
    }

    private static ResponseFormat? ReadResponseFormat(JsonFields body, List<ConstraintSource> given, List<string> ignored)
    {
        if (body.Object("response_format") is not { } format)
            return null;
        _ = format.Require("type");
        string type = format.OneOf("type", "text", "json_object", "json_schema")!;
        ResponseFormat read = new(type);
        if (type == "json_object" && format.Take("schema") is { } schema)
        {
            read = read with { Schema = schema.Clone() };
            given.Add(JsonSchema(schema, format.PathOf("schema")));
        }
        else if (type == "json_object")
            given.Add(JsonObject(format.PathOf("type")));
        else if (type == "json_schema")
            read = read with { JsonSchema = ReadJsonSchema(new JsonFields(format.Require("json_schema"), format.PathOf("json_schema")), given, ignored) };
        format.Close(ignored);
        return read;
    }

    private static JsonSchemaFormat ReadJsonSchema(JsonFields fields, List<ConstraintSource> given, List<string> ignored)
    {
        JsonElement schema = fields.Require("schema");
        string? name = ReadName(fields);
        given.Add(JsonSchema(schema, fields.PathOf("schema")));
        JsonSchemaFormat read = new(schema.Clone(), name, fields.String("description"), fields.Boolean("strict"));
        fields.Close(ignored);
        return read;
    }

    /// <summary>A schema's name; null when absent.</summary>
    public static string? ReadName(JsonFields fields)
    {
        string? name = fields.String("name");
        if (name is not null && (name.Length is 0 or > MaxNameLength || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-')))
            throw ApiException.InvalidValue($"'{fields.PathOf("name")}' must have 1 to {MaxNameLength} letters, digits, '_' or '-'.", fields.PathOf("name"), "invalid_value");
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
            given.Add(JsonObject(outputs.PathOf("json_object")));
        if (outputs.Take("structural_tag") is not null)
            throw ApiException.Unsupported(outputs.PathOf("structural_tag"), "this server has no such constraint.");
        outputs.Close(ignored);
    }

    private static string? Grammar(JsonFields fields, string name, List<ConstraintSource> given)
    {
        string? grammar = fields.String(name);
        if (grammar is not null)
            given.Add(new(fields.PathOf(name), $"grammar {grammar}", _ => ConstraintPart.Gbnf(grammar)));
        return grammar;
    }

    private static string? Regex(JsonFields fields, string name, List<ConstraintSource> given)
    {
        string? pattern = fields.String(name);
        if (pattern is not null)
            given.Add(new(fields.PathOf(name), $"regex {pattern}", _ => ConstraintPart.Regex(pattern)));
        return pattern;
    }

    private static List<string>? Choice(JsonFields fields, string name, List<ConstraintSource> given)
    {
        if (fields.Take(name) is not { } value)
            return null;
        List<string> choices = JsonFields.Items(value, fields.PathOf(name), 1, MaxChoices).ConvertAll(item => JsonValue.String(item.Value, item.Path));
        given.Add(new(fields.PathOf(name), $"choice {value.GetRawText()}", _ => ConstraintPart.Choices(choices)));
        return choices;
    }

    /// <summary>A schema as JSON, or as text that holds it.</summary>
    private static void AnyJson(JsonFields fields, string name, List<ConstraintSource> given)
    {
        if (fields.Take(name) is { } value)
            given.Add(value.ValueKind == JsonValueKind.String
                ? JsonSchema(JsonValue.String(value, fields.PathOf(name)), fields.PathOf(name))
                : JsonSchema(value, fields.PathOf(name)));
    }

    public static ConstraintSource JsonObject(string param) => new(param, "json object", _ => ConstraintPart.JsonObject);

    public static ConstraintSource JsonSchema(JsonElement schema, string param) => schema.ValueKind is JsonValueKind.Object
        ? JsonSchema(schema.GetRawText(), param)
        : throw JsonValue.WrongType(schema, param, "an object, a JSON Schema");

    private static ConstraintSource JsonSchema(string schema, string param) =>
        new(param, $"json schema {schema}", cancellation => ConstraintPart.JsonSchema(schema, null, cancellation));
}
