using System.Text;
using System.Text.Json;
using InferenceServer.Tests.Spec;

namespace InferenceServer.Tests.Api.Responses;

/// <summary>
/// Walks the fields that OpenAI's document has for a response: each is honoured, or refused by its name where it asks for what cannot be done, and none is
/// dropped. A field that a new document brings fails here until somebody has decided on it.
/// </summary>
public sealed class ResponseFieldTests
{
    /// <summary>A value for each field, and the <c>param</c> of the 400 where it is refused.</summary>
    private static readonly Dictionary<string, (string Value, string? Refused)> Fields = new()
    {
        ["model"] = ("\"scripted\"", null),
        ["input"] = ("\"Hi\"", null),
        ["instructions"] = ("\"S\"", null),
        ["previous_response_id"] = ("\"resp_none\"", "previous_response_id"),
        ["conversation"] = ("{\"id\":\"conv_none\"}", "conversation"),
        ["store"] = ("true", null),
        ["background"] = ("false", null),
        ["stream"] = ("false", null),
        ["stream_options"] = ("{\"include_obfuscation\":true}", "stream_options"),
        ["include"] = ("[\"reasoning.encrypted_content\"]", null),
        ["max_output_tokens"] = ("16", null),
        ["max_tool_calls"] = ("1", null),
        ["metadata"] = ("{\"a\":\"b\"}", null),
        ["text"] = ("{\"format\":{\"type\":\"text\"},\"verbosity\":\"medium\"}", null),
        ["reasoning"] = ("{\"effort\":\"medium\",\"summary\":\"detailed\",\"context\":\"auto\",\"mode\":\"standard\"}", null),
        ["tools"] = ("[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"},\"strict\":false,\"allowed_callers\":[\"direct\"],\"defer_loading\":false}]", null),
        ["tool_choice"] = ("\"none\"", null),
        ["parallel_tool_calls"] = ("true", null),
        ["temperature"] = ("0.5", null),
        ["top_p"] = ("0.5", null),
        ["top_logprobs"] = ("0", null),
        ["truncation"] = ("\"disabled\"", null),
        ["service_tier"] = ("\"flex\"", null),
        ["prompt_cache_key"] = ("\"k\"", null),
        ["prompt_cache_retention"] = ("\"24h\"", "prompt_cache_retention"),
        ["prompt_cache_options"] = ("{\"mode\":\"explicit\"}", null),
        ["safety_identifier"] = ("\"s\"", null),
        ["user"] = ("\"u\"", null),
        ["prompt"] = ("{\"id\":\"p\"}", "prompt"),
        ["moderation"] = ("{\"model\":\"omni-moderation-latest\"}", null),
        ["context_management"] = ("[{\"type\":\"compaction\"}]", "context_management"),
    };

    private static IEnumerable<string> Documented(JsonElement schemas, JsonElement schema)
    {
        if (schema.TryGetProperty("$ref", out JsonElement reference))
            schema = schemas.GetProperty(reference.GetString()!.Split('/')[^1]);
        IEnumerable<string> own = schema.TryGetProperty("properties", out JsonElement properties) ? properties.EnumerateObject().Select(property => property.Name) : [];
        return schema.TryGetProperty("allOf", out JsonElement parts) ? own.Concat(parts.EnumerateArray().SelectMany(part => Documented(schemas, part))) : own;
    }

    [SkippableFact]
    public async Task Every_documented_field_is_taken_or_refused_by_name()
    {
        OpenAISpec.Require();
        JsonElement schemas = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(SharedFolder.Find("openai-spec")!, "openapi.subset.json")))
            .RootElement.GetProperty("components").GetProperty("schemas");
        string[] documented = [.. Documented(schemas, schemas.GetProperty("CreateResponse")).Distinct()];
        Assert.Empty(documented.Except(Fields.Keys));

        await using ResponseHost host = await ResponseHost.StartAsync("A");
        foreach (string field in documented)
        {
            (string value, string? refused) = Fields[field];
            string others = field switch
            {
                "model" => "\"input\":\"x\"",
                "input" => "\"model\":\"scripted\"",
                _ => "\"model\":\"scripted\",\"input\":\"x\"",
            };
            using StringContent content = new($"{{{others},\"{field}\":{value}}}", Encoding.UTF8, "application/json");
            using HttpResponseMessage answer = await host.Host.Client.PostAsync(new Uri(ResponseHost.Path, UriKind.Relative), content);
            string text = await answer.Content.ReadAsStringAsync();
            string? param = answer.IsSuccessStatusCode ? null : JsonDocument.Parse(text).RootElement.GetProperty("error").GetProperty("param").GetString();
            Assert.True(answer.IsSuccessStatusCode == (refused is null) && param == refused, $"{field}: {text}");
            Assert.False(answer.Headers.Contains("x-ignored-params"), $"{field} was ignored");
        }
    }

    [Theory]
    [InlineData("?include=file_search_call.results")]
    [InlineData("?include[]=nothing")]
    [InlineData("/input_items?include=message.input_image.image_url")]
    public async Task An_include_that_asks_for_what_is_not_there_is_named_where_something_is_fetched(string query)
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        JsonElement response = await host.CreateAsync("\"input\":\"Hi\"");
        (int status, string? param, _) = await host.FailAsync(HttpMethod.Get, $"{ResponseHost.Path}/{response.GetProperty("id")}{query}");
        Assert.Equal((400, "include"), (status, param));
        _ = await host.GetAsync($"{ResponseHost.Path}/{response.GetProperty("id")}?include[]=message.output_text.logprobs", "Response");
    }
}
