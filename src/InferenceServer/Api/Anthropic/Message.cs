using System.ComponentModel;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace InferenceServer.Api.Anthropic;

/// <summary>The answer of POST /v1/messages without <c>stream</c>.</summary>
public sealed record Message(
    string Id, string Type, string Role, string Model, IReadOnlyList<ContentBlock> Content,
    [property: Description("end_turn, max_tokens, model_context_window_exceeded, stop_sequence, tool_use or refusal; null at the beginning of a stream.")] string? StopReason,
    [property: Description("The stop sequence that ended the reply.")] string? StopSequence,
    MessageUsage Usage)
{
    [Description("Always null.")]
    public string? Container { get; init; }

    [Description("Always null.")]
    public string? StopDetails { get; init; }

    [Description("Always null.")]
    public string? Diagnostics { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: with timing.")]
    public RequestTiming? Timing { get; init; }
}

[JsonPolymorphic(TypeDiscriminatorPropertyName = "type")]
[JsonDerivedType(typeof(TextBlock), "text")]
[JsonDerivedType(typeof(ThinkingBlock), "thinking")]
[JsonDerivedType(typeof(ToolUseBlock), "tool_use")]
public abstract record ContentBlock;

public sealed record TextBlock(string Text) : ContentBlock
{
    [Description("Always null.")]
    public string? Citations { get; init; }
}

public sealed record ThinkingBlock(
    string Thinking,
    [property: Description("Tells whether the thinking comes back as it was sent.")] string Signature) : ContentBlock;

public sealed record ToolUseBlock(string Id, string Name, [property: Description("The arguments, an object.")] JsonElement Input) : ContentBlock
{
    public ToolCaller Caller { get; init; } = new("direct");
}

public sealed record ToolCaller(string Type);

/// <summary>What a request cost. Input tokens are those that no cache held.</summary>
public sealed record MessageUsage(
    int InputTokens,
    [property: Description("Always 0: what is kept for later costs nothing here.")] int CacheCreationInputTokens,
    [property: Description("Prompt tokens that a cache held and nobody had to compute.")] int CacheReadInputTokens,
    int OutputTokens,
    [property: Description("standard or priority.")] string ServiceTier)
{
    public OutputTokensDetails? OutputTokensDetails { get; init; }

    [Description("Always null.")]
    public string? CacheCreation { get; init; }

    [Description("Always null.")]
    public string? ServerToolUse { get; init; }

    [Description("Always null.")]
    public string? InferenceGeo { get; init; }

    [Description("Always null.")]
    public string? Speed { get; init; }
}

public sealed record OutputTokensDetails([property: Description("Tokens of thinking, its markers included.")] int ThinkingTokens);

/// <summary>One server-sent event of a streamed message; which members are there depends on the type (<see cref="MessageStreamEncoder"/>).</summary>
public sealed record MessageStreamEvent(
    [property: Description("message_start, content_block_start, content_block_delta, content_block_stop, message_delta, message_stop, ping or error.")] string Type)
{
    [Description("With message_start: the message, still empty.")]
    public Message? Message { get; init; }

    [Description("With content_block_*: the block's place in the message.")]
    public int? Index { get; init; }

    [Description("With content_block_start: the block, still empty.")]
    public ContentBlock? ContentBlock { get; init; }

    public MessageDelta? Delta { get; init; }

    [Description("With message_delta: what all of it cost.")]
    public MessageUsage? Usage { get; init; }

    [Description("Extra: with message_delta, where the request asked for timing.")]
    public RequestTiming? Timing { get; init; }

    [Description("With error.")]
    public AnthropicErrorBody? Error { get; init; }

    [Description("With error.")]
    public string? RequestId { get; init; }
}

public sealed record MessageDelta
{
    [Description("text_delta, thinking_delta, signature_delta or input_json_delta; absent with message_delta.")]
    public string? Type { get; init; }

    public string? Text { get; init; }

    public string? Thinking { get; init; }

    public string? Signature { get; init; }

    [Description("A piece of the arguments' JSON text.")]
    public string? PartialJson { get; init; }

    public string? StopReason { get; init; }

    public string? StopSequence { get; init; }

    [Description("Always null.")]
    public string? StopDetails { get; init; }

    [Description("Always null.")]
    public string? Container { get; init; }
}

/// <summary>The answer of GET /v1/models to a request with the header <c>anthropic-version</c>.</summary>
public sealed record AnthropicModelList(IReadOnlyList<AnthropicModel> Data, bool HasMore, string? FirstId, string? LastId);

public sealed record AnthropicModel(string Type, string Id, string DisplayName, DateTimeOffset CreatedAt, string Lifecycle, int MaxInputTokens, int MaxTokens)
{
    [Description("Always null.")]
    public string? Capabilities { get; init; }

    [Description("Always null.")]
    public string? DeprecatedAt { get; init; }

    [Description("Always null.")]
    public string? Line { get; init; }

    [Description("Always null.")]
    public string? RetiresAt { get; init; }
}

/// <summary>The answer of POST /v1/messages/count_tokens.</summary>
public sealed record MessageTokenCount([property: Description("Tokens of the whole prompt, the template's included.")] int InputTokens);

/// <summary>Anthropic's error body.</summary>
public sealed record AnthropicErrorResponse(string Type, AnthropicErrorBody Error, string RequestId);

public sealed record AnthropicErrorBody(
    [property: Description("invalid_request_error, authentication_error, permission_error, not_found_error, request_too_large, rate_limit_error, timeout_error, overloaded_error or api_error.")] string Type,
    [property: Description("What is wrong and where: fields are named as in messages.0.content.1.")] string Message);

/// <summary>What this dialect sends and receives.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(MessagesRequest))]
[JsonSerializable(typeof(CountTokensRequest))]
[JsonSerializable(typeof(Message))]
[JsonSerializable(typeof(MessageStreamEvent))]
[JsonSerializable(typeof(AnthropicModelList))]
[JsonSerializable(typeof(AnthropicModel))]
[JsonSerializable(typeof(MessageTokenCount))]
[JsonSerializable(typeof(AnthropicErrorResponse))]
internal sealed partial class AnthropicJson : JsonSerializerContext
{
    public static AnthropicJson Wire { get; } = new(WireJson.Options());
}
