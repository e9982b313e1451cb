using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using InferenceServer.Tests.Api;

namespace InferenceServer.Tests.Docs;

/// <summary>One field of a request as docs/api.md lists it.</summary>
internal sealed record DocumentedField(string Path, string Type, bool IsRequired, string Description);

/// <summary>
/// Writes docs/api.md out of a running server: what is honoured comes from its own description at /openapi/v1.json, what is refused or ignored from
/// what it answers when it is sent (<see cref="FieldProbes"/>).
/// </summary>
internal sealed class ApiReference(TestHost host, JsonNode document)
{
    // Those of every POST are described once, at the top.
    private static readonly string[] EverywhereHeaders = ["X-Request-Id", "traceparent", "Idempotency-Key", "X-Disconnect-Grace-Ms", "Last-Event-ID"];

    private readonly Dictionary<string, string> _bodies = [];

    public static async Task<ApiReference> ReadAsync(TestHost host) =>
        new(host, JsonNode.Parse(await host.Client.GetStringAsync(new Uri("/openapi/v1.json", UriKind.Relative)))!);

    public IEnumerable<(string Method, string Path, JsonNode Operation)> Operations =>
        document["paths"]!.AsObject().SelectMany(path => path.Value!.AsObject().Where(member => member.Key.Length <= 6 && member.Key != "parameters")
            .Select(operation => (operation.Key.ToUpperInvariant(), path.Key, operation.Value!)));

    /// <summary>Every field of a route's body, those inside others included; empty for a route without one.</summary>
    public List<DocumentedField> Fields(JsonNode operation)
    {
        List<DocumentedField> fields = [];
        if (operation["requestBody"]?["content"]?["application/json"]?["schema"] is { } schema)
            Collect(schema, "", fields, []);
        return fields;
    }

    public async Task<string> WriteAsync()
    {
        StringBuilder text = new();
        IGrouping<string, (string Method, string Path, JsonNode Operation)>[] rooms =
            [.. Operations.GroupBy(operation => operation.Operation["tags"]![0]!.GetValue<string>()).OrderBy(room => room.Key, StringComparer.Ordinal)];
        text.Append("# API reference\n\n").Append(GeneratedPage.Notice(nameof(ApiReferenceTests)))
            .Append("This page lists every endpoint and every field of its request. The server treats a field in one of three ways:\n\n")
            .Append("- **Honoured.** The field has a row with its type and meaning.\n")
            .Append("- **Refused.** The answer is 400. Its message names the field.\n")
            .Append("- **Ignored.** The answer lists the field in the header `x-ignored-params`. With `--strict` the answer is 400 instead.\n\n")
            .Append("A field with the value `null` counts as absent. `/openapi/v1.json` describes answers and stream events.\n\n")
            .Append("Every request may have these headers: `Authorization: Bearer` or `x-api-key`, where the server has keys; `X-Request-Id`, which the answer returns as `x-request-id`; `traceparent`.\n")
            .Append("Every POST may have `Idempotency-Key`, `X-Disconnect-Grace-Ms` and `Last-Event-ID`. [Requests](requests.md) describes all of them.\n\n")
            .Append("## Index\n\n| section | endpoints |\n|---|---|\n");
        foreach (IGrouping<string, (string Method, string Path, JsonNode Operation)> room in rooms)
            text.Append(CultureInfo.InvariantCulture, $"| [{room.Key}](#{Document.Slug(room.Key)}) | {string.Join("<br>", room.Select(one => $"[`{one.Method} {one.Path}`](#{Document.Slug($"{one.Method} {one.Path}")})"))} |\n");
        text.Append('\n');
        foreach (IGrouping<string, (string Method, string Path, JsonNode Operation)> room in rooms)
        {
            text.Append(CultureInfo.InvariantCulture, $"## {room.Key}\n\n");
            foreach ((string method, string path, JsonNode operation) in room)
            {
                text.Append(CultureInfo.InvariantCulture, $"### {method} {path}\n\n{operation["summary"]?.GetValue<string>()}\n\n");
                WriteParameters(text, operation);
                if (!WriteReference(text, path, operation))
                    WriteFields(text, operation);
                await WriteProbesAsync(text, method, path);
            }
        }

        return text.ToString();
    }

    /// <summary>What came of a probe, in words.</summary>
    public async Task<(int Status, string Fate)> TryAsync(FieldProbe probe)
    {
        using HttpResponseMessage answer = await host.PostAsync(probe.Route, Body(probe.Route, probe.Members));
        string text = await answer.Content.ReadAsStringAsync();
        if (answer.IsSuccessStatusCode)
            return ((int)answer.StatusCode, answer.Headers.TryGetValues("x-ignored-params", out IEnumerable<string>? ignored) ? $"ignored, listed as `{ignored.Single()}`" : "accepted");
        JsonNode error = JsonNode.Parse(text)!["error"]!;
        return ((int)answer.StatusCode, $"refused: {(error is JsonObject ? error["message"] : error)!.GetValue<string>()}");
    }

    /// <summary>A route's plain body with some members replaced.</summary>
    public static string Body(string route, string members)
    {
        JsonObject body = JsonNode.Parse($"{{{FieldProbes.Plain[route]}}}")!.AsObject();
        foreach ((string name, JsonNode? value) in JsonNode.Parse($"{{{members}}}")!.AsObject())
            body[name] = value?.DeepClone();
        return body.ToJsonString();
    }

    /// <summary>A body that stands above already is not written twice.</summary>
    private bool WriteReference(StringBuilder text, string path, JsonNode operation)
    {
        string? schema = operation["requestBody"]?["content"]?["application/json"]?["schema"]?["$ref"]?.GetValue<string>();
        if (schema is null || _bodies.TryAdd(schema, path))
            return false;
        text.Append(CultureInfo.InvariantCulture, $"The body is that of `{_bodies[schema]}`.\n\n");
        return true;
    }

    private static void WriteParameters(StringBuilder text, JsonNode operation)
    {
        JsonNode[] own = [.. (operation["parameters"]?.AsArray() ?? []).OfType<JsonNode>().Where(parameter => !EverywhereHeaders.Contains(parameter["name"]!.GetValue<string>()) || (parameter["name"]!.GetValue<string>() == "Last-Event-ID" && operation["requestBody"] is null))];
        foreach (JsonNode parameter in own)
            text.Append(CultureInfo.InvariantCulture, $"- `{parameter["name"]}` ({parameter["in"]}): {parameter["description"]}\n");
        if (own.Length > 0)
            text.Append('\n');
    }

    private void WriteFields(StringBuilder text, JsonNode operation)
    {
        List<DocumentedField> fields = Fields(operation);
        if (fields.Count == 0)
            return;
        text.Append("| honoured field | type | meaning |\n|---|---|---|\n");
        foreach (DocumentedField field in fields)
            text.Append(CultureInfo.InvariantCulture, $"| `{field.Path}`{(field.IsRequired ? ", required" : "")} | {GeneratedPage.Cell(field.Type)} | {GeneratedPage.Cell(field.Description)} |\n");
        text.Append('\n');
    }

    private async Task WriteProbesAsync(StringBuilder text, string method, string path)
    {
        FieldProbe[] probes = [.. FieldProbes.All.Where(probe => method == "POST" && probe.Route == path)];
        if (probes.Length == 0)
            return;
        text.Append("| other field | when sent as | what happens |\n|---|---|---|\n");
        foreach (FieldProbe probe in probes)
            text.Append(CultureInfo.InvariantCulture, $"| {(probe.Field.Contains(' ') ? probe.Field : $"`{probe.Field}`")} | `{GeneratedPage.Cell(probe.Members)}` | {GeneratedPage.Cell((await TryAsync(probe)).Fate)} |\n");
        text.Append('\n');
    }

    private void Collect(JsonNode schema, string path, List<DocumentedField> fields, HashSet<string> above)
    {
        if (schema["$ref"]?.GetValue<string>() is { } reference)
        {
            // A schema within itself is listed once.
            if (above.Add(reference))
            {
                Collect(Resolve(reference), path, fields, above);
                above.Remove(reference);
            }

            return;
        }

        // The forms of an object repeat what stands among its properties.
        HashSet<string> required = [.. (schema["required"]?.AsArray() ?? []).Select(name => name!.GetValue<string>())];
        foreach ((string name, JsonNode? property) in schema["properties"]?.AsObject() ?? [])
        {
            string inner = path.Length == 0 ? name : $"{path}.{name}";
            DocumentedField field = new(inner, TypeOf(property!), required.Contains(name), Describe(property!));
            int known = fields.FindIndex(other => other.Path == inner);
            if (known < 0)
                fields.Add(field);
            // What tells alternatives apart has a name in each of them.
            else if (field.Type.StartsWith('`') && fields[known].Type.StartsWith('`'))
                fields[known] = fields[known] with { Type = string.Join(", ", fields[known].Type.Split(", ").Union(field.Type.Split(", "))) };
            Collect(property!, inner, fields, above);
        }

        foreach (string alternatives in (string[])["anyOf", "oneOf", "allOf"])
            if (schema[alternatives]?.AsArray() is { } parts)
                CollectAlternatives([.. parts.OfType<JsonNode>()], path, fields, above);
        if (schema["items"] is { } items)
            Collect(items, $"{path}[]", fields, above);
    }

    /// <summary>Of alternatives that are objects, what all of them require is required.</summary>
    private void CollectAlternatives(JsonNode[] parts, string path, List<DocumentedField> fields, HashSet<string> above)
    {
        int first = fields.Count;
        foreach (JsonNode part in parts)
            Collect(part, path, fields, above);
        JsonNode[] objects = [.. parts.Select(part => part["$ref"]?.GetValue<string>() is { } reference ? Resolve(reference) : part).Where(part => part["properties"] is not null)];
        for (int i = first; i < fields.Count; i++)
        {
            string name = fields[i].Path[(path.Length == 0 ? 0 : path.Length + 1)..];
            if (!name.Contains('.') && objects.Any(part => part["required"]?.AsArray().Any(required => required!.GetValue<string>() == name) != true))
                fields[i] = fields[i] with { IsRequired = false };
        }
    }

    private JsonNode Resolve(string reference)
    {
        JsonNode node = document;
        foreach (string part in reference["#/".Length..].Split('/'))
            node = node[part.Replace("~1", "/", StringComparison.Ordinal)] ?? throw new InvalidOperationException($"{reference} leads nowhere");
        return node;
    }

    private string Describe(JsonNode schema) =>
        schema["description"]?.GetValue<string>() ?? (schema["$ref"]?.GetValue<string>() is { } reference ? Resolve(reference)["description"]?.GetValue<string>() : null)
        ?? (schema["oneOf"]?.AsArray() ?? []).Select(part => Describe(part!)).FirstOrDefault(text => text.Length > 0) ?? "";

    private string TypeOf(JsonNode schema)
    {
        if (schema["$ref"]?.GetValue<string>() is { } reference)
            return TypeOf(Resolve(reference));
        foreach (string alternatives in (string[])["anyOf", "oneOf"])
            if (schema["type"] is null && schema[alternatives]?.AsArray() is { } parts)
                return string.Join(" or ", parts.Select(part => TypeOf(part!)).Where(type => type is not ("null" or "")).Distinct());
        if (schema["enum"]?.AsArray() is { } values)
            return string.Join(", ", values.OfType<JsonNode>().Select(value => $"`{value}`"));
        string type = schema["type"] switch
        {
            JsonArray several => string.Join(" or ", several.Select(one => one!.GetValue<string>()).Where(one => one is not "null" && (one != "string" || !several.Any(other => other!.GetValue<string>() is "integer" or "number")))),
            JsonNode one => one.GetValue<string>(),
            null => "any",
        };
        if (type == "array")
            return $"array of {(schema["items"] is { } items ? TypeOf(items) : "any")}";
        string? least = Limit(schema["minimum"]), most = Limit(schema["maximum"]);
        return least is null && most is null ? type : $"{type}, {least ?? "..."} to {most ?? "..."}";
    }

    /// <summary>Null where a bound is only that of the machine's numbers.</summary>
    private static string? Limit(JsonNode? bound) => bound is null || bound.ToJsonString().Trim('"') is "2147483647" ? null : bound.ToJsonString().Trim('"');
}
