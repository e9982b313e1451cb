using System.ComponentModel;
using System.Text.Json;

namespace InferenceServer.Api.OpenAI.Conversations;

public sealed record Conversation(string Id, string Object, long CreatedAt, IReadOnlyDictionary<string, string> Metadata);

/// <summary>The body of POST /v1/conversations, and without items of POST /v1/conversations/{id}.</summary>
public sealed record ConversationRequest(
    [property: Description("Up to 16 pairs of text.")] IReadOnlyDictionary<string, string>? Metadata,
    [property: Description("Up to 20 items to begin with, as a response's input has them.")] IReadOnlyList<JsonElement>? Items);

/// <summary>The body of POST /v1/conversations/{id}/items.</summary>
public sealed record ConversationItemsRequest([property: Description("1 to 20 items, as a response's input has them.")] IReadOnlyList<JsonElement> Items);
