using System.Text.Json;
using System.Text.Json.Nodes;

namespace InferenceServer.Tests.Spec;

/// <summary>
/// OpenAI's own schema of its API, as data in ../shared. Every answer and stream event that passes through <see cref="Api.TestHost.PostJsonAsync"/> or
/// <see cref="Api.SseReader"/> is checked against it; where the folder is absent that check does nothing, and tests that are about nothing else skip.
/// </summary>
internal static class OpenAISpec
{
    // Fields of ours, documented as extras, and those that OpenAI sends and its document forgets. A new one has to be entered here.
    private static readonly HashSet<string> Extras =
    [
        "reasoning_content", // What a chat model thinks in the open, as vLLM and llama-server name it.
        "mcp_calls", // Of a chat message: what an MCP server's tools were called for.
        "x_cache", "context_length", "loaded", "state", "size_bytes", "capabilities", "aliases", "pinned", "root", "parent", "timing",
        "store", "x_truncation", // Of a response.
        "parent_id", "response_id", "created_at", // Of a conversation's item, and the first of the place where a response goes on.
        "updated_at", "running", "match", // Of a conversation.
    ];

    private static readonly Lazy<SpecValidator?> Validator = new(Load);

    /// <summary>Skips the test where the document is absent; the test must be a SkippableFact.</summary>
    public static void Require() => Skip.If(Validator.Value is null, SharedFolder.AbsentReason);

    /// <summary>Names of a schema's properties, its parts' included.</summary>
    public static IEnumerable<string> Properties(string schema)
    {
        JsonNode document = JsonNode.Parse(File.ReadAllBytes(Path.Combine(SharedFolder.Find("openai-spec")!, "openapi.subset.json")))!;
        return Of(document["components"]!["schemas"]![schema]!).Distinct();

        IEnumerable<string> Of(JsonNode node) => node["$ref"] is { } reference
            ? Of(document["components"]!["schemas"]![reference.GetValue<string>().Split('/')[^1]]!)
            : ((JsonNode?[])[node["allOf"], node["anyOf"]]).SelectMany(parts => parts?.AsArray() ?? []).SelectMany(part => Of(part!))
                .Concat(node["properties"]?.AsObject().Select(property => property.Key) ?? []);
    }

    /// <summary>Checks one value against a named schema.</summary>
    public static void Check(string schema, JsonElement value) => Report(schema, value, Errors(schema, value));

    /// <summary>What is wrong with a value; null where the document is absent.</summary>
    public static List<string>? Errors(string schema, JsonElement value) => Validator.Value?.Errors(schema, value);

    /// <summary>Checks an answer whose kind its own <c>object</c> tells; others pass.</summary>
    public static void CheckAnswer(JsonElement answer)
    {
        if (answer.ValueKind != JsonValueKind.Object || !answer.TryGetProperty("object", out JsonElement kind))
            return;
        switch (kind.GetString())
        {
            case "chat.completion":
                Check("CreateChatCompletionResponse", answer);
                break;
            case "chat.completion.chunk":
                Check("CreateChatCompletionStreamResponse", answer);
                break;
            case "text_completion":
                Check("CreateCompletionResponse", answer);
                break;
            case "response":
                Check("Response", answer);
                break;
        }
    }

    private static void Report(string schema, JsonElement value, List<string>? errors)
    {
        if (errors is { Count: > 0 })
            Assert.Fail($"not a {schema}: {string.Join("; ", errors)}\n{value.GetRawText()}");
    }

    private static SpecValidator? Load()
    {
        if (SharedFolder.Find("openai-spec") is not { } folder)
            return null;
        JsonNode document = JsonNode.Parse(File.ReadAllBytes(Path.Combine(folder, "openapi.subset.json")))!;
        JsonNode schemas = document["components"]!["schemas"]!;
        AmendCompletion(schemas["CreateCompletionResponse"]!["properties"]!);
        return new SpecValidator(JsonSerializer.SerializeToElement(schemas), Extras);
    }

    /// <summary>
    /// Where OpenAI's own service departs from its document, we follow the service. With echo the prompt's first token has no log probability, as nothing
    /// comes before it: token_logprobs and top_logprobs begin with null, since any number would be an invention; and top_logprobs is null where none were
    /// asked for. A streamed completion's chunks have no schema of their own: finish_reason and usage are null until the last.
    /// </summary>
    private static void AmendCompletion(JsonNode completion)
    {
        JsonNode choice = completion["choices"]!["items"]!["properties"]!;
        JsonNode logprobs = choice["logprobs"]!["anyOf"]![0]!["properties"]!;
        foreach (JsonNode amended in (JsonNode[])[logprobs["token_logprobs"]!["items"]!, logprobs["top_logprobs"]!["items"]!, logprobs["top_logprobs"]!,
            choice["finish_reason"]!, completion["usage"]!])
            amended["nullable"] = true;
    }
}
