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
    // With this in the environment the file is written instead of compared.
    private const string WriteVariable = "INFERENCE_SERVER_WRITE_DOCS";

    private static string DocsFile => Path.Combine(SharedFolder.RepositoryRoot, "docs", "api.md");

    private static Task<TestHost> StartAsync(TempStore kept) => TestHost.StartAsync(
        new ScriptedEngine { Script = reply => reply.SayAsync("{}") }, replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens), store: kept.Store, embedders: EmbeddingProbes.Models);

    [Fact]
    public async Task The_reference_is_what_the_server_does()
    {
        await using TempStore store = new();
        await using TestHost host = await StartAsync(store);
        string written = await (await ApiReference.ReadAsync(host)).WriteAsync();
        if (Environment.GetEnvironmentVariable(WriteVariable) is { Length: > 0 })
        {
            Directory.CreateDirectory(Path.GetDirectoryName(DocsFile)!);
            await File.WriteAllTextAsync(DocsFile, written);
        }

        string kept = File.Exists(DocsFile) ? (await File.ReadAllTextAsync(DocsFile)).ReplaceLineEndings("\n") : "";
        Assert.True(written == kept, $"docs/api.md is stale from here on; run this test with {WriteVariable}=1:\n{FirstDifference(written, kept)}");
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

    [SkippableFact]
    public async Task Every_field_of_OpenAIs_requests_has_its_row()
    {
        string folder = SharedFolder.Find("openai-spec") ?? "";
        Skip.If(folder.Length == 0, SharedFolder.AbsentReason);
        JsonNode spec = JsonNode.Parse(await File.ReadAllBytesAsync(Path.Combine(folder, "openapi.subset.json")))!;
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
    public async Task Answers_and_stream_events_are_as_the_description_says(string path, string? members, string? route = null)
    {
        ScriptedEngine engine = new() { Script = reply => reply.SayAsync("Hello<tool_call>\n", "{\"name\": \"f\", \"arguments\": {}}\n</tool_call>") };
        await using TestHost host = await TestHost.StartAsync(engine, replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens));
        JsonNode document = JsonNode.Parse(await host.Client.GetStringAsync(new Uri("/openapi/v1.json", UriKind.Relative)))!;
        JsonNode content = document["paths"]![route ?? path]![members is null ? "get" : "post"]!["responses"]!["200"]!["content"]!;
        if (members is null)
        {
            Check(document, content["application/json"]!["schema"]!, JsonDocument.Parse(await host.Client.GetStringAsync(new Uri(path, UriKind.Relative))).RootElement);
            return;
        }

        Check(document, content["application/json"]!["schema"]!, await host.PostJsonAsync(path, ApiReference.Body(path, members)));
        if (content["text/event-stream"] is not { } events)
            return;
        foreach (string usage in (string[])["true", "false"])
        {
            using HttpResponseMessage streamed = await host.PostAsync(path, ApiReference.Body(path, $"{members},\"stream\":true,\"stream_options\":{{\"include_usage\":{usage}}}"));
            foreach (JsonElement chunk in SseReader.Chunks(await streamed.Content.ReadAsStringAsync()))
                Check(document, events["schema"]!, chunk);
        }
    }

    /// <summary>Validates a value against a schema of our document, in which types are lists where null is one of them.</summary>
    private static void Check(JsonNode document, JsonNode schema, JsonElement value)
    {
        JsonObject schemas = document["components"]!["schemas"]!.DeepClone().AsObject();
        schemas["TheAnswer"] = schema.DeepClone();
        Loosen(schemas);
        List<string> errors = new SpecValidator(JsonSerializer.SerializeToElement(schemas), new HashSet<string>()).Errors("TheAnswer", value);
        Assert.True(errors.Count == 0, $"{string.Join("; ", errors)}\n{value}");
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

    private static string FirstDifference(string written, string kept)
    {
        string[] now = written.Split('\n'), before = kept.Split('\n');
        int line = Enumerable.Range(0, now.Length).FirstOrDefault(i => i >= before.Length || now[i] != before[i], now.Length - 1);
        return $"line {line + 1}\n  now    {now[line]}\n  before {(line < before.Length ? before[line] : "")}";
    }

    // A field's name in the place where a parser takes it: fields.String("name"), Key(body, "name").
    [GeneratedRegex(@"(?<![A-Za-z])(?:Take|Require|String|RequireString|Boolean|Integer|Long|Number|Object|OneOf|Array|Key|Grammar|Regex|Choice|AnyJson)\((?:[a-z]\w*, )?""([a-z_][a-z0-9_]*)""")]
    private static partial Regex AskedPattern();

    [GeneratedRegex(@"[A-Za-z_][A-Za-z0-9_]*")]
    private static partial Regex NamePattern();
}
