using System.CommandLine;
using System.ComponentModel;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Schema;
using InferenceServer.Chat;
using InferenceServer.Mcp;
using InferenceServer.Operations;

namespace InferenceServer.Configuration;

/// <summary>The JSON schema of server.json, made of its contracts, of the options and of the fields of sampling. It lies beside the program as server.schema.json.</summary>
internal static class ServerFileSchema
{
    public const string FileName = "server.schema.json";

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>As text, with a line break at its end.</summary>
    public static string Write()
    {
        JsonObject schema = ServerFileJson.Default.ServerFile.GetJsonSchemaAsNode(new JsonSchemaExporterOptions { TreatNullObliviousAsNonNullable = true, TransformSchemaNode = Describe }).AsObject();
        schema["$schema"] = "http://json-schema.org/draft-07/schema#";
        schema["title"] = "server.json of InferenceServer";
        JsonObject file = schema["properties"]!.AsObject(), model = file["models"]!["additionalProperties"]!["properties"]!.AsObject();
        OptionTable table = new();
        Replace(file, "options", table.Options.Where(option => option != table.Config).Select(option => (option.Name[2..], Of(option))));
        Replace(model, "options", table.OfOneModel.Select(option => (option.Name[2..], Of(option))));
        Replace(model, "sampling", SamplingFields.All.Select(field => (field.Name, Of(field))).Concat(
        [
            ("max_tokens", new JsonObject { ["type"] = "integer", ["minimum"] = 1, ["description"] = "Most tokens of a reply." }),
            ("stop", new JsonObject { ["type"] = new JsonArray("string", "array"), ["items"] = new JsonObject { ["type"] = "string", ["minLength"] = 1, ["maxLength"] = 256 }, ["maxItems"] = 16, ["minLength"] = 1, ["description"] = "Texts that end a reply and are no part of it." }),
            ("seed", new JsonObject { ["type"] = "integer", ["description"] = "The seed of every draw." }),
        ]));
        return schema.ToJsonString(Indented).ReplaceLineEndings("\n") + "\n";
    }

    private static JsonNode Describe(JsonSchemaExporterContext context, JsonNode schema)
    {
        // Of what a converter of ours reads the exporter knows nothing.
        if (context.TypeInfo.Type == typeof(TimeSpan))
            schema = new JsonObject { ["type"] = "string", ["pattern"] = "^[0-9]+(ms|s|m|h)$" };
        else if (context.TypeInfo.Type == typeof(McpApproval))
            schema = new JsonObject { ["anyOf"] = new JsonArray(new JsonObject { ["enum"] = new JsonArray("never", "always") }, new JsonObject { ["type"] = "array", ["items"] = new JsonObject { ["type"] = "string" } }) };
        if (schema is JsonObject described && context.PropertyInfo?.AttributeProvider?.GetCustomAttributes(typeof(DescriptionAttribute), false) is [DescriptionAttribute { Description: var text }, ..])
            described["description"] = text;
        return schema;
    }

    private static void Replace(JsonObject properties, string name, IEnumerable<(string Name, JsonObject Schema)> members)
    {
        JsonObject inner = [];
        foreach ((string member, JsonObject schema) in members)
            inner[member] = schema;
        properties[name] = new JsonObject { ["type"] = "object", ["description"] = properties[name]!["description"]!.DeepClone(), ["properties"] = inner, ["additionalProperties"] = false };
    }

    private static JsonObject Of(SamplingField field) => new()
    {
        ["type"] = field.IsWhole ? "integer" : "number",
        ["minimum"] = field.Least,
        ["maximum"] = field.Most,
        ["description"] = char.ToUpper(field.Description[0], CultureInfo.InvariantCulture) + field.Description[1..],
    };

    /// <summary>What the table's parser takes; a value that only looks right is refused by the server.</summary>
    private static JsonObject Of(Option option)
    {
        JsonObject schema = new() { ["description"] = option.Description };
        if (OptionTable.IsList(option))
        {
            schema["type"] = new JsonArray("string", "array");
            schema["items"] = new JsonObject { ["type"] = "string" };
        }
        else if (option is Option<bool>)
            schema["type"] = "boolean";
        else if (option.HelpName is "on|off")
            schema["enum"] = new JsonArray(true, false, "on", "off");
        else if (option is Option<int> or Option<int?> && option.HelpName is not "auto|N")
            schema["type"] = "integer";
        else if (option.HelpName is "auto|N" or "BYTES")
            schema["type"] = new JsonArray("string", "integer");
        else if (option.HelpName?.Split('|') is { Length: > 1 } names && names.All(name => !name.Any(char.IsAsciiLetterUpper)))
            schema["enum"] = new JsonArray([.. names.Select(name => (JsonNode)name)]);
        else
            schema["type"] = "string";
        return schema;
    }
}
