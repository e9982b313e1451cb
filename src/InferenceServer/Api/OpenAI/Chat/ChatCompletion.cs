using System.ComponentModel;
using System.Text.Json.Serialization;
using InferenceServer.Api.Moderation;
using InferenceServer.Chat;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>The answer of POST /v1/chat/completions without <c>stream</c>.</summary>
public sealed record ChatCompletion(
    string Id, string Object, long Created, string Model, IReadOnlyList<ChatChoice> Choices, Usage Usage, string ServiceTier, string SystemFingerprint)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Where the request or the server asks for moderation.")]
    public ChatModeration? Moderation { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: with x_cache_report.")]
    public CacheUse? XCache { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: with timing.")]
    public RequestTiming? Timing { get; init; }
}

public sealed record ChatChoice(
    int Index, ChatReply Message, ChatLogprobs? Logprobs,
    [property: Description("stop, length, tool_calls, content_filter, or function_call where the request had functions.")] string FinishReason);

public sealed record ChatReply(
    string Role,
    [property: Description("Null when nothing was said but calls were made, and beside a refusal.")] string? Content,
    [property: Description("What is said instead, where moderation did not let the conversation or the reply pass.")] string? Refusal)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: what the model thought in the open.")]
    public string? ReasoningContent { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<ChatCompletionToolCall>? ToolCalls { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: the calls of MCP servers' tools that were run for this message, in their order.")]
    public IReadOnlyList<ChatMcpCall>? McpCalls { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("The one call, where the request had functions instead of tools.")]
    public ChatFunctionCall? FunctionCall { get; init; }
}

/// <summary>A call of an MCP server's tool. In a stream it comes twice: with its arguments when it begins, and with output or error when it has ended.</summary>
/// <param name="ServerLabel">The server's name in the configuration.</param>
public sealed record ChatMcpCall(
    string Id, string ServerLabel, string Name,
    [property: Description("A JSON object, as text.")] string Arguments,
    [property: Description("What the tool gave back; null while it runs, and where it failed.")] string? Output,
    [property: Description("What went wrong, as the model was told; null otherwise.")] string? Error)
{
    internal static ChatMcpCall Of(HostedCall call) => new(call.Id, call.Tool.Server, call.Tool.Name, call.Arguments,
        call.Result is { IsError: false } result ? result.Text : null, call.Result is { IsError: true } failed ? failed.Text : null);
}

public sealed record ChatLogprobs(IReadOnlyList<ReportedLogprob> Content, IReadOnlyList<ReportedLogprob>? Refusal);

/// <summary>One server-sent event of a streamed chat completion; the writer produces these bytes directly (<see cref="ChatStreamEncoder"/>).</summary>
public sealed record ChatCompletionChunk(
    string Id, string Object, long Created, string Model, string ServiceTier, string SystemFingerprint, IReadOnlyList<ChatChunkChoice> Choices)
{
    [Description("With stream_options.include_usage: null, and in the last chunk what the request cost.")]
    public Usage? Usage { get; init; }

    [Description("Extra: in the last chunk, with x_cache_report.")]
    public CacheUse? XCache { get; init; }

    [Description("Extra: in the last chunk, with timing.")]
    public RequestTiming? Timing { get; init; }

    [Description("In the last chunk, where the request or the server asks for moderation.")]
    public ChatModeration? Moderation { get; init; }
}

public sealed record ChatChunkChoice(int Index, ChatDelta Delta, ChatLogprobs? Logprobs, string? FinishReason);

public sealed record ChatDelta
{
    [Description("In a choice's first chunk.")]
    public string? Role { get; init; }

    public string? Content { get; init; }

    public string? Refusal { get; init; }

    [Description("Extra: what the model thinks in the open.")]
    public string? ReasoningContent { get; init; }

    public IReadOnlyList<ChatCallDelta>? ToolCalls { get; init; }

    [Description("Extra: a call of an MCP server's tool that begins, or has ended.")]
    public IReadOnlyList<ChatMcpCall>? McpCalls { get; init; }

    [Description("Instead of tool_calls, where the request had functions.")]
    public ChatFunctionDelta? FunctionCall { get; init; }
}

/// <param name="Index">Which call of the reply; id, type and name come once, arguments in pieces.</param>
public sealed record ChatCallDelta(int Index)
{
    [Description("Of a function.")]
    public ChatFunctionDelta? Function { get; init; }

    [Description("Of a custom tool: its input comes in one piece.")]
    public ChatCustomDelta? Custom { get; init; }

    public string? Id { get; init; }

    public string? Type { get; init; }
}

public sealed record ChatCustomDelta(string Input)
{
    public string? Name { get; init; }
}

public sealed record ChatFunctionDelta(string Arguments)
{
    public string? Name { get; init; }
}
