using System.ComponentModel;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Api.OpenAI.Responses;

namespace InferenceServer.Api.OpenAI.Conversations;

public sealed record Conversation(string Id, string Object, long CreatedAt, IReadOnlyDictionary<string, string> Metadata)
{
    [Description("Extra: when something was last said in it.")]
    public required long UpdatedAt { get; init; }

    [Description("Extra: ids of the responses that are being made in it in the background.")]
    public required IReadOnlyList<string> Running { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a search: where it found something.")]
    public ConversationMatch? Match { get; init; }
}

public sealed record ConversationMatch(
    [property: Description("The newest item that has it; null: the title has it.")] string? ItemId,
    string Before, [property: Description("What was found.")] string Text, string After);

/// <summary>The answer of GET /v1/conversations. Ids are empty where the list is.</summary>
public sealed record ConversationList(string Object, IReadOnlyList<Conversation> Data, string FirstId, string LastId, bool HasMore);

/// <summary>An item with its place in its conversation, which is a tree.</summary>
public sealed record ConversationItem : ResponseItem
{
    public ConversationItem()
    {
    }

    [SetsRequiredMembers]
    private ConversationItem(ResponseItem item, string? parentId, long createdAt, string? responseId)
        : base(item) => (ParentId, CreatedAt, ResponseId) = (parentId, createdAt, responseId);

    [Description("Extra: the item before it; null for a first one.")]
    public string? ParentId { get; init; }

    [Description("Extra: unix seconds.")]
    public long CreatedAt { get; init; }

    [Description("Extra: the stored response that made it; null where a client did.")]
    public string? ResponseId { get; init; }

    internal static ConversationItem Of(Store.StoredItem stored) => new(StoredResponses.ReadItem(stored), stored.Parent, stored.Created.ToUnixTimeSeconds(), stored.Response);
}

/// <summary>A page of a conversation's items. Ids are empty where the list is.</summary>
public sealed record ConversationItemList(string Object, IReadOnlyList<ConversationItem> Data, string FirstId, string LastId, bool HasMore)
{
    internal static ConversationItemList Of(IEnumerable<Store.StoredItem> stored, bool hasMore)
    {
        List<ConversationItem> items = [.. stored.Select(ConversationItem.Of)];
        return new("list", items, items.Count > 0 ? items[0].Id : "", items.Count > 0 ? items[^1].Id : "", hasMore);
    }
}

/// <summary>The body of POST /v1/conversations, and without items of POST /v1/conversations/{id}.</summary>
public sealed record ConversationRequest(
    [property: Description("Up to 16 pairs of text; title is what searches look in, besides the messages.")] IReadOnlyDictionary<string, string>? Metadata,
    [property: Description("Up to 1000 items to begin with, as a response's input has them; each hangs below the one before it, unless its parent_id names another by the id that was sent with it, or is null. "
        + "An id of this server's form that is free is kept, and so is created_at."), JsonShape(ResponseShapes.Items)] IReadOnlyList<JsonElement>? Items,
    [property: Description("Extra: of a conversation from elsewhere, when it began, in unix seconds.")] long? CreatedAt = null);

/// <summary>The body of POST /v1/conversations/{id}/items.</summary>
public sealed record ConversationItemsRequest(
    [property: Description("Up to 1000 items, as a new conversation's."), JsonShape(ResponseShapes.Items)] IReadOnlyList<JsonElement> Items,
    [property: Description("Extra: the item that the first one hangs below; null for none; the newest if absent.")] string? ParentId = null);
