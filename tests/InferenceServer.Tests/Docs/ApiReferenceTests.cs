using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using InferenceServer.Models;
using InferenceServer.Tests.Api;
using InferenceServer.Tests.Spec;
using InferenceServer.Tests.Store;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.OpenApi;
using Microsoft.OpenApi.Reader;

namespace InferenceServer.Tests.Docs;

/// <summary>docs/api.md and /openapi/v1.json against what the server does.</summary>
public sealed partial class ApiReferenceTests
{
    private static Task<TestHost> StartAsync(TempStore kept) => TestHost.StartAsync(
        new ScriptedEngine { Script = reply => reply.SayAsync("{}") }, replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens), store: kept.Store, embedders: EmbeddingProbes.Models);

    [Fact]
    public async Task The_reference_is_what_the_server_does()
    {
        await using TempStore store = new();
        await using TestHost host = await StartAsync(store);
        await GeneratedPage.CheckAsync("api.md", await (await ApiReference.ReadAsync(host)).WriteAsync());
    }

    [Fact]
    public async Task Every_field_that_is_documented_as_honoured_is_known_to_the_parser()
    {
        await using TempStore store = new();
        await using TestHost host = await StartAsync(store);
        ApiReference reference = await ApiReference.ReadAsync(host);
        foreach ((string method, string path, JsonNode operation) in reference.Operations.Where(operation => operation.Method == "POST" && FieldProbes.Plain.ContainsKey(operation.Path)))
        {
            using HttpResponseMessage plain = await host.PostAsync(path, $"{{{FieldProbes.Plain[path]}}}");
            Assert.True(plain.IsSuccessStatusCode, $"{method} {path}: {await plain.Content.ReadAsStringAsync()}");
            foreach (DocumentedField field in reference.Fields(operation).Where(field => !field.Path.Contains('.') && !field.IsRequired && !FieldProbes.Plain[path].Contains($"\"{field.Path}\":", StringComparison.Ordinal)))
            {
                // Null counts as absent, but only of a field that somebody asks for.
                using HttpResponseMessage answer = await host.PostAsync(path, ApiReference.Body(path, $"\"{field.Path}\":null"));
                Assert.True(answer.IsSuccessStatusCode, $"{path} {field.Path}: {await answer.Content.ReadAsStringAsync()}");
                Assert.False(answer.Headers.Contains("x-ignored-params"), $"{path} documents {field.Path}, which its parser does not know");
            }
        }
    }

    [Fact]
    public async Task Every_field_that_a_parser_asks_for_is_in_the_reference()
    {
        await using TempStore store = new();
        await using TestHost host = await StartAsync(store);
        string reference = await (await ApiReference.ReadAsync(host)).WriteAsync();
        HashSet<string> documented = [.. NamePattern().Matches(reference).Select(match => match.Value)];
        string api = Path.Combine(SharedFolder.RepositoryRoot, "src", "InferenceServer", "Api");
        List<string> missing = [];
        foreach (string file in Directory.EnumerateFiles(api, "*.cs", SearchOption.AllDirectories))
            foreach (Match asked in AskedPattern().Matches(await File.ReadAllTextAsync(file)))
                if (!documented.Contains(asked.Groups[1].Value))
                    missing.Add($"{asked.Groups[1].Value} ({Path.GetFileName(file)})");
        Assert.True(missing.Count == 0, $"not in docs/api.md; describe it in its contract or add a probe: {string.Join(", ", missing.Distinct())}");
    }

    [Fact]
    public async Task Every_field_that_a_route_knows_anywhere_in_its_body_has_a_row_of_its_own()
    {
        await using TempStore store = new();
        await using TestHost host = await StartAsync(store);
        ApiReference reference = await ApiReference.ReadAsync(host);
        string api = Path.Combine(SharedFolder.RepositoryRoot, "src", "InferenceServer", "Api");
        SortedSet<string> names = new(StringComparer.Ordinal);
        foreach (string file in Directory.EnumerateFiles(api, "*.cs", SearchOption.AllDirectories))
            names.UnionWith(LiteralPattern().Matches(await File.ReadAllTextAsync(file)).Select(match => match.Groups[1].Value));
        KnownFields known = new(host, [.. names]);
        List<string> missing = [];
        foreach ((_, string path, JsonNode operation) in reference.Operations.Where(operation => operation.Method == "POST" && FieldProbes.Plain.ContainsKey(operation.Path)))
        {
            string? schema = Schema(operation);
            string[] same = [.. reference.Operations.Where(other => schema is not null && Schema(other.Operation) == schema).Select(other => other.Path)];
            FieldProbe[] probes = [.. FieldProbes.All.Where(probe => same.Contains(probe.Route))];
            HashSet<string> rows = [.. reference.Fields(operation).Select(field => field.Path), .. probes.SelectMany(KnownFields.Rows)];
            string[] bodies = [ApiReference.Body(path, ""), .. FieldProbes.All.Where(probe => probe.Route == path).Select(probe => ApiReference.Body(path, probe.Members))];
            missing.AddRange((await known.FindAsync(path, bodies)).Where(field => !rows.Contains(field)).Select(field => $"{path} {field}"));
        }

        Assert.True(missing.Count == 0, $"known to a parser and not in docs/api.md; describe them in the contract or add probes:\n{string.Join('\n', missing)}");
    }

    private static string? Schema(JsonNode operation) => operation["requestBody"]?["content"]?["application/json"]?["schema"]?["$ref"]?.GetValue<string>();

    /// <summary>OpenAI's own description; skips the test where it is absent.</summary>
    private static async Task<JsonNode> OpenAISpecAsync()
    {
        string folder = SharedFolder.Find("openai-spec") ?? "";
        Skip.If(folder.Length == 0, SharedFolder.AbsentReason);
        return JsonNode.Parse(await File.ReadAllBytesAsync(Path.Combine(folder, "openapi.subset.json")))!;
    }

    [SkippableFact]
    public async Task Every_field_of_OpenAIs_requests_has_its_row()
    {
        JsonNode spec = await OpenAISpecAsync();
        await using TempStore store = new();
        await using TestHost host = await StartAsync(store);
        ApiReference reference = await ApiReference.ReadAsync(host);
        List<string> missing = [];
        foreach ((string method, string path, JsonNode operation) in reference.Operations.Where(operation => operation.Method == "POST"))
        {
            if (!path.StartsWith("/v1/", StringComparison.Ordinal) || spec["paths"]![path[3..]]?["post"]?["requestBody"]?["content"]?["application/json"]?["schema"] is not { } schema)
                continue;
            HashSet<string> rows = [.. reference.Fields(operation).Select(field => field.Path), .. FieldProbes.All.Where(probe => probe.Route == path).Select(probe => probe.Field.Split('.')[0])];
            missing.AddRange(Properties(spec, schema).Where(name => !rows.Contains(name)).Select(name => $"{method} {path}: {name}"));
        }

        Assert.True(missing.Count == 0, string.Join('\n', missing.Distinct()));
    }

    [Fact]
    public async Task The_description_is_a_valid_document_of_every_route_and_none_of_its_references_dangles()
    {
        await using TempStore store = new();
        await using TestHost host = await StartAsync(store);
        string text = await host.Client.GetStringAsync(new Uri("/openapi/v1.json", UriKind.Relative));

        ReadResult read = OpenApiDocument.Parse(text, "json");
        Assert.Empty(read.Diagnostic!.Errors.Select(error => error.ToString()));
        JsonNode document = JsonNode.Parse(text)!;
        foreach (string reference in References(document).Distinct())
        {
            JsonNode? target = document;
            foreach (string part in reference.Split('/').Skip(1))
                target = target?[part.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal)];
            Assert.True(target is not null, $"{reference} leads nowhere");
        }

        foreach (RouteEndpoint route in host.App.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>())
        {
            string pattern = route.RoutePattern.RawText!;
            // The page, the document itself, and what is there only to be refused in its own words.
            if (pattern.StartsWith("/docs", StringComparison.Ordinal) || pattern.StartsWith("/openapi/", StringComparison.Ordinal)
                || route.Metadata.GetMetadata<IExcludeFromDescriptionMetadata>()?.ExcludeFromDescription == true)
                continue;
            foreach (string method in route.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods)
            {
                JsonNode? operation = document["paths"]![pattern]?[method.ToLowerInvariant()];
                Assert.True(operation is not null, $"{method} {pattern} is not described");
                Assert.True(operation["operationId"] is not null && operation["tags"] is not null && operation["summary"] is not null, $"{method} {pattern} has no name, tag or summary");
                Assert.Equal(route.RoutePattern.Parameters.Select(parameter => parameter.Name).Order(),
                    (operation["parameters"]?.AsArray() ?? []).Where(parameter => parameter!["in"]!.GetValue<string>() == "path").Select(parameter => parameter!["name"]!.GetValue<string>()).Order());
            }
        }
    }

    [Theory]
    [InlineData("/v1/chat/completions", "\"n\":2,\"logprobs\":true,\"top_logprobs\":2,\"x_cache_report\":true,\"timing\":true,\"metadata\":{\"a\":\"b\"}")]
    [InlineData("/v1/chat/completions", "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]")]
    [InlineData("/v1/completions", "\"n\":2,\"logprobs\":2,\"echo\":true,\"x_cache_report\":true,\"timing\":true")]
    [InlineData("/tokenize", "\"with_pieces\":true")]
    [InlineData("/detokenize", "")]
    [InlineData("/apply-template", "")]
    [InlineData("/v1/chat/completions/input_tokens", "")]
    [InlineData("/v1/models", null)]
    [InlineData("/v1/models/scripted", null, "/v1/models/{id}")]
    [InlineData("/v1/sessions", null)]
    [InlineData("/health", null)]
    [InlineData("/v1/responses", "\"x_cache_report\":true,\"timing\":true,\"metadata\":{\"a\":\"b\"},\"reasoning\":{\"effort\":\"low\"},\"text\":{}")]
    [InlineData("/v1/responses", "\"tools\":[{\"type\":\"function\",\"name\":\"f\"}],\"include\":[\"message.output_text.logprobs\"],\"top_logprobs\":2")]
    [InlineData("/v1/responses/input_tokens", "")]
    [InlineData("/v1/responses/compact", "")]
    [InlineData("/v1/conversations", "\"items\":[{\"role\":\"user\",\"content\":\"x\"}]")]
    [InlineData("/v1/messages", "\"timing\":true")]
    [InlineData("/v1/messages", "\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}]")]
    [InlineData("/v1/messages/count_tokens", "")]
    [InlineData("/v1/moderations", "")]
    [InlineData("/v1/embeddings", "")]
    [InlineData("/v1/rerank", "")]
    [InlineData("/api/chat", "\"timing\":true,\"logprobs\":true")]
    [InlineData("/api/chat", "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]")]
    [InlineData("/api/generate", "")]
    [InlineData("/api/embed", "")]
    [InlineData("/api/embeddings", "")]
    [InlineData("/api/show", "")]
    [InlineData("/api/tags", null)]
    [InlineData("/api/ps", null)]
    [InlineData("/api/version", null)]
    [InlineData("/v1/chat/completions", null)]
    public async Task Answers_and_stream_events_are_as_the_description_says(string path, string? members, string? route = null)
    {
        ScriptedEngine engine = new() { Script = reply => reply.SayAsync("Hello<tool_call>\n", "{\"name\": \"f\", \"arguments\": {}}\n</tool_call>") };
        await using TempStore kept = new();
        await using TestHost host = await TestHost.StartAsync(engine, store: kept.Store, embedders: EmbeddingProbes.Models,
            replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens));
        JsonNode document = JsonNode.Parse(await host.Client.GetStringAsync(new Uri("/openapi/v1.json", UriKind.Relative)))!;
        JsonNode content = document["paths"]![route ?? path]![members is null ? "get" : "post"]!["responses"]!["200"]!["content"]!;
        if (members is null)
        {
            Check(document, content["application/json"]!["schema"]!, JsonDocument.Parse(await host.Client.GetStringAsync(new Uri(path, UriKind.Relative))).RootElement);
            return;
        }

        Check(document, content["application/json"]!["schema"]!, await host.PostJsonAsync(path, ApiReference.Body(path, members)));
        if ((content["text/event-stream"] ?? content["application/x-ndjson"]) is not { } events)
            return;
        // Only OpenAI's first two have anything to say about the last event.
        foreach (string options in path.EndsWith("/completions", StringComparison.Ordinal) ? (string[])[",\"stream_options\":{\"include_usage\":true}", ""] : [""])
        {
            using HttpResponseMessage streamed = await host.PostAsync(path, ApiReference.Body(path, $"{members}{(members.Length > 0 ? "," : "")}\"stream\":true{options}"));
            JsonElement[] sent = [.. (await streamed.Content.ReadAsStringAsync()).Split('\n').Select(line => line.StartsWith("data: ", StringComparison.Ordinal) ? line[6..] : line)
                .Where(line => line.StartsWith('{')).Select(line => JsonDocument.Parse(line).RootElement)];
            Assert.True(sent.Length > 1, path);
            Assert.All(sent, one => Check(document, events["schema"]!, one));
        }
    }

    [Fact]
    public async Task What_is_documented_as_required_is_missed_where_it_is_absent()
    {
        await using TempStore store = new();
        await using TestHost host = await StartAsync(store);
        ApiReference reference = await ApiReference.ReadAsync(host);
        // Of routes with one kind of body the one that is described.
        foreach ((_, string path, JsonNode operation) in reference.Operations.Where(operation => operation.Method == "POST" && FieldProbes.Plain.ContainsKey(operation.Path)).DistinctBy(operation => Schema(operation.Operation)))
            foreach (IGrouping<string, DocumentedField> parent in reference.Fields(operation).Where(field => field.IsRequired).GroupBy(field => field.Path[..Math.Max(field.Path.LastIndexOf('.'), 0)]))
            {
                // What is around it may be missed first.
                string[] names = [.. reference.Fields(operation).Where(field => field.IsRequired && (field.Path.LastIndexOf('.') is var dot and > 0 ? parent.Key == field.Path[..dot] || parent.Key.StartsWith(field.Path[..dot] + ".", StringComparison.Ordinal) : parent.Key.Length == 0))
                    .Select(field => field.Path.Split('.')[^1])];
                string body = parent.Key.Length == 0 ? "{}" : ApiReference.Body(path, Empty(parent.Key) + (parent.Key == "function_call" ? ",\"functions\":[{\"name\":\"f\"}]" : ""));
                using HttpResponseMessage answer = await host.PostAsync(path, body);
                string text = await answer.Content.ReadAsStringAsync();
                Assert.True((int)answer.StatusCode == 400 && names.Any(name => text.Contains(name, StringComparison.Ordinal)), $"{path} {parent.Key}: {string.Join(", ", names)} are documented as required; without them: {text}");
            }
    }

    /// <summary>A member that holds nothing in the place of a path such as <c>tools[].function</c>.</summary>
    private static string Empty(string path)
    {
        string[] parts = path.Split('.');
        string value = "{}";
        for (int i = parts.Length - 1; i >= 0; i--)
        {
            string name = parts[i];
            for (; name.EndsWith("[]", StringComparison.Ordinal); name = name[..^2])
                value = $"[{value}]";
            value = i == 0 ? $"\"{name}\":{value}" : $"{{\"{name}\":{value}}}";
        }

        return value;
    }

    [SkippableFact]
    public async Task Every_query_parameter_of_OpenAIs_paths_is_described()
    {
        JsonNode spec = await OpenAISpecAsync();
        await using TempStore store = new();
        await using TestHost host = await StartAsync(store);
        ApiReference reference = await ApiReference.ReadAsync(host);
        List<string> missing = [];
        foreach ((string path, JsonNode? methods) in spec["paths"]!.AsObject())
            foreach ((string method, JsonNode? operation) in methods!.AsObject())
            {
                // Names within a path are each server's own.
                string ours = PathPattern().Replace("/v1" + path, "{}");
                HashSet<string> described = [.. reference.Operations.Where(known => known.Method.Equals(method, StringComparison.OrdinalIgnoreCase) && PathPattern().Replace(known.Path, "{}") == ours)
                    .SelectMany(known => known.Operation["parameters"]!.AsArray()).Select(parameter => parameter!["name"]!.GetValue<string>())];
                missing.AddRange((operation!["parameters"]?.AsArray() ?? []).Where(parameter => parameter!["in"]!.GetValue<string>() == "query")
                    .Select(parameter => parameter!["name"]!.GetValue<string>()).Where(name => !described.Contains(name)).Select(name => $"{method} {path}: {name}"));
            }

        Assert.True(missing.Count == 0, string.Join('\n', missing));
    }

    [Fact]
    public async Task A_query_parameter_that_a_route_does_not_read_is_listed_and_one_that_it_reads_is_not()
    {
        await using TempStore store = new();
        await using TestHost host = await StartAsync(store);
        foreach ((string query, string? ignored) in ((string, string?)[])
        [
            ("/v1/chat/completions?limit=2&order=desc&model=m&metadata[a]=b", null), ("/v1/chat/completions?limit=2&before=x&metadata=b", "before"),
            ("/v1/models?api-version=2024", "api-version"), ("/v1/models?limit=1&after=a&order=asc&after_id=x", "after, order, limit, after_id"), ("/health?probe=1", "probe"), ("/docs?x=1", null),
        ])
        {
            using HttpResponseMessage answer = await host.Client.GetAsync(new Uri(query, UriKind.Relative));
            Assert.True(answer.IsSuccessStatusCode, $"{query}: {(int)answer.StatusCode}");
            Assert.Equal(ignored, answer.Headers.TryGetValues("x-ignored-params", out IEnumerable<string>? names) ? string.Join(", ", names) : null);
        }

        using HttpResponseMessage both = await host.PostAsync("/v1/messages?beta=true&x=1", ApiReference.Body("/v1/messages", "\"surprise\":1"));
        Assert.Equal("x, surprise", Assert.Single(both.Headers.GetValues("x-ignored-params")));
        await using TestHost strict = await TestHost.StartAsync(new ScriptedEngine(), strict: true);
        using HttpResponseMessage refused = await strict.Client.GetAsync(new Uri("/v1/models?before=x", UriKind.Relative));
        await ErrorTests.AssertErrorAsync(refused, 400, "before", "unknown_parameter");
        using HttpResponseMessage paged = await strict.Client.GetAsync(new Uri("/v1/models?limit=1", UriKind.Relative));
        await ErrorTests.AssertErrorAsync(paged, 400, "limit", "unknown_parameter");
        using HttpRequestMessage anthropic = new(HttpMethod.Get, "/v1/models?limit=1");
        anthropic.Headers.Add("anthropic-version", "2023-06-01");
        using HttpResponseMessage page = await strict.Client.SendAsync(anthropic);
        Assert.True(page.IsSuccessStatusCode);
    }

    /// <summary>Validates a value against a schema of our document, in which types are lists where null is one of them.</summary>
    private static void Check(JsonNode document, JsonNode schema, JsonElement value)
    {
        List<string> errors = Validator(document, schema).Errors("TheAnswer", value);
        Assert.True(errors.Count == 0, $"{string.Join("; ", errors)}\n{value}");
    }

    /// <summary>Of the document's schemas, and of one more under the name TheAnswer.</summary>
    internal static SpecValidator Validator(JsonNode document, JsonNode? schema = null)
    {
        JsonObject schemas = document["components"]!["schemas"]!.DeepClone().AsObject();
        schemas["TheAnswer"] = schema?.DeepClone() ?? new JsonObject();
        Loosen(schemas);
        return new SpecValidator(JsonSerializer.SerializeToElement(schemas), new HashSet<string>());
    }

    /// <summary>To the notation that the validator reads: one type, and nullable beside it.</summary>
    private static void Loosen(JsonNode? node)
    {
        if (node is JsonArray array)
            foreach (JsonNode? item in array)
                Loosen(item);
        if (node is not JsonObject members)
            return;
        if (members["type"] is JsonArray types)
        {
            string[] names = [.. types.Select(type => type!.GetValue<string>())];
            members["nullable"] = names.Contains("null");
            members["type"] = Assert.Single(names, name => name != "null");
        }

        foreach ((_, JsonNode? inner) in members.ToArray())
            Loosen(inner);
    }

    private static IEnumerable<string> References(JsonNode? node) => node switch
    {
        JsonArray array => array.SelectMany(References),
        JsonObject members => members.SelectMany(member => member is { Key: "$ref", Value: JsonValue value } ? [value.GetValue<string>()] : References(member.Value)),
        _ => [],
    };

    private static HashSet<string> Properties(JsonNode spec, JsonNode schema)
    {
        HashSet<string> names = [];
        if (schema["$ref"]?.GetValue<string>() is { } reference)
            names.UnionWith(Properties(spec, spec["components"]!["schemas"]![reference.Split('/')[^1]]!));
        foreach (string keyword in (string[])["allOf", "anyOf", "oneOf"])
            foreach (JsonNode? part in schema[keyword]?.AsArray() ?? [])
                names.UnionWith(Properties(spec, part!));
        names.UnionWith((schema["properties"]?.AsObject() ?? []).Select(property => property.Key));
        return names;
    }

    // A field's name in the place where a parser takes it: fields.String("name"), Key(body, "name").
    [GeneratedRegex(@"(?<![A-Za-z])(?:Take|Require|String|RequireString|Boolean|Integer|Long|Number|Object|OneOf|Array|Key|Grammar|Regex|Choice|AnyJson)\((?:[a-z]\w*, )?""([a-z_][a-z0-9_]*)""")]
    private static partial Regex AskedPattern();

    // What may be a field's name, wherever it stands.
    [GeneratedRegex(@"""([a-z][a-z0-9_]*)""")]
    private static partial Regex LiteralPattern();

    [GeneratedRegex(@"\{[^}]*\}")]
    private static partial Regex PathPattern();

    [GeneratedRegex(@"[A-Za-z_][A-Za-z0-9_]*")]
    private static partial Regex NamePattern();
}
