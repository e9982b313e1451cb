using System.ComponentModel;
using System.Text.Json.Serialization;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>The answer of GET /v1/chat/completions. Ids are empty where the list is.</summary>
public sealed record ChatCompletionList(string Object, IReadOnlyList<ChatCompletion> Data, string FirstId, string LastId, bool HasMore);

/// <summary>The answer of GET /v1/chat/completions/{id}/messages.</summary>
public sealed record StoredMessageList(string Object, IReadOnlyList<StoredMessage> Data, string FirstId, string LastId, bool HasMore);

/// <summary>A message that a stored completion answered.</summary>
public sealed record StoredMessage(string Id, string Role, string? Content)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Name { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<ChatCompletionToolCall>? ToolCalls { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ToolCallId { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ReasoningContent { get; init; }
}
