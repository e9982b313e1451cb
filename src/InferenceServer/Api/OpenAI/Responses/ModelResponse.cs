using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Api.Moderation;
using InferenceServer.Mcp;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>A response, from its first event to its last, and as it is stored.</summary>
public sealed record ModelResponse
{
    public required string Id { get; init; }

    public string Object { get; init; } = "response";

    public required long CreatedAt { get; init; }

    [AllowedValues(Queued, InProgress, Completed, Incomplete, Failed, Cancelled)]
    public required string Status { get; init; }

    public long? CompletedAt { get; init; }

    public bool Background { get; init; }

    [Description("Why it failed.")]
    public ResponseFailure? Error { get; init; }

    public IncompleteDetails? IncompleteDetails { get; init; }

    public string? Instructions { get; init; }

    public int? MaxOutputTokens { get; init; }

    public int? MaxToolCalls { get; init; }

    public required string Model { get; init; }

    public IReadOnlyList<ResponseItem> Output { get; init; } = [];

    public bool ParallelToolCalls { get; init; } = true;

    public string? PreviousResponseId { get; init; }

    public ConversationReference? Conversation { get; init; }

    public string? PromptCacheKey { get; init; }

    public ResponseReasoning Reasoning { get; init; } = new(null, null);

    public string? SafetyIdentifier { get; init; }

    public string ServiceTier { get; init; } = "default";

    [Description("Extra: whether it is kept.")]
    public bool Store { get; init; }

    public float Temperature { get; init; } = 1;

    public ResponseText Text { get; init; } = new();

    [Description("As it was given.")]
    public required JsonElement ToolChoice { get; init; }

    [JsonShape(ResponseShapes.AnsweredTools)]
    public IReadOnlyList<ResponseTool> Tools { get; init; } = [];

    public int TopLogprobs { get; init; }

    public float TopP { get; init; } = 1;

    public string Truncation { get; init; } = "disabled";

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Absent while it runs.")]
    public ResponseUsage? Usage { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? User { get; init; }

    public IReadOnlyDictionary<string, string> Metadata { get; init; } = new Dictionary<string, string>();

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Where the request or the server asked for it.")]
    public ResponseModeration? Moderation { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: what truncation: auto left out.")]
    public TruncationReport? XTruncation { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: with x_cache_report.")]
    public CacheUse? XCache { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: with timing.")]
    public RequestTiming? Timing { get; init; }

    public const string Queued = "queued";
    public const string InProgress = "in_progress";
    public const string Completed = "completed";
    public const string Incomplete = "incomplete";
    public const string Failed = "failed";
    public const string Cancelled = "cancelled";
}

public sealed record ResponseFailure(string Code, string Message);

public sealed record IncompleteDetails([property: AllowedValues("max_output_tokens", "content_filter")] string Reason);

public sealed record ConversationReference(string Id)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: the item that the response goes on from; absent for a first one.")]
    public string? ParentId { get; init; }
}

public sealed record ResponseReasoning(string? Effort, string? Summary);

public sealed record ResponseText
{
    public ResponseTextFormat Format { get; init; } = new("text");

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Verbosity { get; init; }
}

[JsonForm("type", "text,json_object"), JsonForm("type", "json_schema", "name", "schema")]
public sealed record ResponseTextFormat([property: AllowedValues("text", "json_object", "json_schema")] string Type)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Name { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Description { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Draft 2020-12. A keyword that cannot be enforced is refused with its path.")]
    [JsonShape(JsonShapes.AnyObject)]
    public JsonElement? Schema { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("The schema is enforced either way.")]
    public bool? Strict { get; init; }
}

/// <summary>A function, or an MCP server whose tools may be called.</summary>
[JsonConverter(typeof(ResponseToolConverter))]
public sealed record ResponseTool(
    [property: AllowedValues("function", "mcp")] string Type,
    [property: Description("1 to 128 characters: letters, digits or any of _-.:/@+~$")] string Name,
    string? Description = null,
    [property: Description("JSON schema of the arguments, an object; absent for none.")] JsonElement? Parameters = null,
    [property: Description("Default: false. Arguments obey the schema to the letter, or the request is refused. Without it, what cannot be enforced is left open, and the header x-loosened-schemas names it.")] bool? Strict = false)
{
    /// <summary>Of an MCP server: the tool as it was sent, and its name is the server's label. Null for a function.</summary>
    public JsonElement? Server { get; init; }
}

/// <summary>Writes a function with all that it has, and an MCP server as it was sent.</summary>
internal sealed class ResponseToolConverter : JsonConverter<ResponseTool>
{
    public override ResponseTool Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        using JsonDocument document = JsonDocument.ParseValue(ref reader);
        JsonElement tool = document.RootElement;
        string type = tool.GetProperty("type").GetString()!;
        if (type == "mcp")
            return new(type, tool.GetProperty("server_label").GetString()!) { Server = tool.Clone() };
        return new(type, tool.GetProperty("name").GetString()!, Given("description")?.GetString(), Given("parameters")?.Clone(), Given("strict")?.GetBoolean());

        JsonElement? Given(string name) => tool.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;
    }

    public override void Write(Utf8JsonWriter writer, ResponseTool value, JsonSerializerOptions options)
    {
        if (value.Server is { } server)
        {
            server.WriteTo(writer);
            return;
        }

        writer.WriteStartObject();
        writer.WriteString("type", value.Type);
        writer.WriteString("name", value.Name);
        writer.WriteString("description", value.Description);
        writer.WritePropertyName("parameters");
        if (value.Parameters is { } parameters)
            parameters.WriteTo(writer);
        else
            writer.WriteNullValue();
        writer.WritePropertyName("strict");
        if (value.Strict is { } strict)
            writer.WriteBooleanValue(strict);
        else
            writer.WriteNullValue();
        writer.WriteEndObject();
    }
}

/// <summary>A tool of an MCP server, as <c>mcp_list_tools</c> has it.</summary>
internal sealed record ResponseMcpTool(string Name, string? Description, JsonElement InputSchema, JsonElement? Annotations = null)
{
    public static JsonElement Of(IReadOnlyList<McpTool> tools) =>
        JsonSerializer.SerializeToElement([.. tools.Select(tool => new ResponseMcpTool(tool.Name, tool.Description, tool.Schema))], ResponsesJson.Wire.IReadOnlyListResponseMcpTool);
}

/// <summary>What went wrong with a call of an MCP server's tool.</summary>
internal sealed record ResponseMcpError(string Type, IReadOnlyList<ResponseMcpText> Content);

internal sealed record ResponseMcpText(string Type, string Text);

/// <param name="DroppedTurns">A turn is a user's message and all that follows it up to the next.</param>
/// <param name="DroppedMessages">Messages of these turns.</param>
public sealed record TruncationReport(int DroppedTurns, int DroppedMessages);

public sealed record ResponseUsage(
    int InputTokens, ResponseInputTokens InputTokensDetails, int OutputTokens, ResponseOutputTokens OutputTokensDetails, int TotalTokens)
{
    /// <summary>What the prefix cache did not hold was computed, and is in it now.</summary>
    public static ResponseUsage Of(Usage usage) => new(
        usage.PromptTokens, new ResponseInputTokens(usage.PromptTokensDetails.CachedTokens, usage.PromptTokens - usage.PromptTokensDetails.CachedTokens),
        usage.CompletionTokens, new ResponseOutputTokens(usage.CompletionTokensDetails.ReasoningTokens), usage.TotalTokens);
}

public sealed record ResponseInputTokens(
    [property: Description("Prompt tokens that a cache held and nobody had to compute.")] int CachedTokens,
    [property: Description("Prompt tokens that were computed, and can be reused now.")] int CacheWriteTokens);

public sealed record ResponseOutputTokens([property: Description("Tokens of reasoning and of the markers around it.")] int ReasoningTokens);

/// <summary>A page of items, of a response's input or of a conversation. Ids are empty where the list is.</summary>
public sealed record ResponseItemList(string Object, IReadOnlyList<ResponseItem> Data, string FirstId, string LastId, bool HasMore)
{
    public static ResponseItemList Of(IReadOnlyList<ResponseItem> items, bool hasMore) =>
        new("list", items, items.Count > 0 ? items[0].Id : "", items.Count > 0 ? items[^1].Id : "", hasMore);
}

/// <summary>The answer of POST /v1/responses/input_tokens.</summary>
public sealed record ResponseInputTokenCount(string Object, int InputTokens);

/// <summary>The answer of POST /v1/responses/compact: what to send as input instead of what was compacted.</summary>
public sealed record CompactedResponse(string Id, string Object, IReadOnlyList<ResponseItem> Output, long CreatedAt, ResponseUsage Usage)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: with x_cache_report.")]
    public CacheUse? XCache { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: with timing.")]
    public RequestTiming? Timing { get; init; }
}
