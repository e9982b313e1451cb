using System.Text.Json;
using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Api.OpenAI.Responses;
using InferenceServer.Store;
using Microsoft.AspNetCore.Http.Features;

namespace InferenceServer.Api.OpenAI.Conversations;

/// <summary>/v1/conversations: items that are kept together, to be continued by responses.</summary>
internal sealed class ConversationEndpoints(ServerStore store, ConversationLocks locks, TimeProvider clock)
{
    // OpenAI's, of one request; responses add as many as they have.
    private const int MaxNewItems = 20;

    public async Task CreateAsync(HttpContext http)
    {
        IReadOnlyDictionary<string, string> metadata;
        List<InputItem> items;
        // The one body that may be left out.
        using (JsonDocument body = HasNoBody(http) ? JsonDocument.Parse("{}") : await JsonBody.ReadAsync(http))
        {
            List<string> ignored = [];
            JsonFields fields = new(body.RootElement, "");
            metadata = MetadataReader.Read(fields) ?? [];
            items = fields.Take("items") is { } given ? ResponseItemParser.ReadItems(given, "items", MaxNewItems, ignored) : [];
            Announce(http, fields, ignored);
        }

        StoredConversation conversation = new($"conv_{Guid.NewGuid():N}", StoreOwner.Of(http), clock.GetUtcNow(), metadata);
        await store.Conversations.AddAsync(conversation, [.. Resolved(items).Select(StoredResponses.WriteItem)]);
        await AnswerAsync(http, conversation);
    }

    public async Task RetrieveAsync(HttpContext http) => await AnswerAsync(http, await FindAsync(http));

    public async Task UpdateAsync(HttpContext http)
    {
        IReadOnlyDictionary<string, string> metadata;
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            JsonFields fields = new(body.RootElement, "");
            metadata = MetadataReader.ReadReplacement(fields);
            Announce(http, fields, []);
        }

        await AnswerAsync(http, await store.Conversations.SetMetadataAsync(StoreOwner.Of(http), IdOf(http), metadata) ?? throw NotFound(http));
    }

    public async Task DeleteAsync(HttpContext http)
    {
        if (!await store.Conversations.DeleteAsync(StoreOwner.Of(http), IdOf(http)))
            throw NotFound(http);
        await JsonAnswer.WriteAsync(http, new Deletion(IdOf(http), "conversation.deleted", true), StoredCompletionJson.Wire.Deletion);
    }

    public async Task CreateItemsAsync(HttpContext http)
    {
        ResponseRequestParser.CheckIncludes(http.Request);
        List<InputItem> items;
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            List<string> ignored = [];
            JsonFields fields = new(body.RootElement, "");
            items = ResponseItemParser.ReadItems(fields.Require("items"), "items", MaxNewItems, ignored);
            Announce(http, fields, ignored);
        }

        IReadOnlyList<ResponseItem> added = Resolved(items);
        using ConversationTurn change = await ChangeAsync(http);
        if (!await store.Conversations.AppendAsync(StoreOwner.Of(http), new ConversationAppend(IdOf(http), [.. added.Select(StoredResponses.WriteItem)])))
            throw NotFound(http);
        await JsonAnswer.WriteAsync(http, ResponseItemList.Of(added, hasMore: false), ResponsesJson.Wire.ResponseItemList);
    }

    public async Task ListItemsAsync(HttpContext http)
    {
        ResponseRequestParser.CheckIncludes(http.Request);
        PageQuery query = PageReader.Read(http.Request, descendingByDefault: true);
        StoredConversation conversation = await FindAsync(http);
        Page<byte[]> page = await store.Conversations.ListAsync(conversation.Owner, conversation.Id, query);
        IReadOnlyList<ResponseItem> items = [.. page.Items.Select(StoredResponses.ReadItem)];
        await JsonAnswer.WriteAsync(http, ResponseItemList.Of(items, page.HasMore), ResponsesJson.Wire.ResponseItemList);
    }

    public async Task RetrieveItemAsync(HttpContext http)
    {
        ResponseRequestParser.CheckIncludes(http.Request);
        byte[] item = await store.Conversations.FindItemAsync(StoreOwner.Of(http), IdOf(http), ItemIdOf(http)) ?? throw ItemNotFound(http);
        await JsonAnswer.WriteAsync(http, StoredResponses.ReadItem(item), ResponsesJson.Wire.ResponseItem);
    }

    public async Task DeleteItemAsync(HttpContext http)
    {
        StoredConversation conversation = await FindAsync(http);
        using ConversationTurn change = await ChangeAsync(http);
        if (!await store.Conversations.DeleteItemAsync(conversation.Owner, conversation.Id, ItemIdOf(http)))
            throw ItemNotFound(http);
        await AnswerAsync(http, conversation);
    }

    /// <summary>A turn of it that runs has read its items, and adds to them at its end.</summary>
    private Task<ConversationTurn> ChangeAsync(HttpContext http) => locks.ChangeAsync(StoreOwner.Of(http), IdOf(http), http.RequestAborted);

    private static bool HasNoBody(HttpContext http) => http.Features.Get<IHttpRequestBodyDetectionFeature>() is { CanHaveBody: false };

    private static List<ResponseItem> Resolved(List<InputItem> items) => items.ConvertAll(item => item.Item
        ?? throw ApiException.Unsupported($"{item.Path}.type", "a conversation takes items, not references to them."));

    private async Task<StoredConversation> FindAsync(HttpContext http) =>
        await store.Conversations.FindAsync(StoreOwner.Of(http), IdOf(http)) ?? throw NotFound(http);

    private static Task AnswerAsync(HttpContext http, StoredConversation conversation) => JsonAnswer.WriteAsync(http,
        new Conversation(conversation.Id, "conversation", conversation.Created.ToUnixTimeSeconds(), conversation.Metadata), ResponsesJson.Wire.Conversation);

    private static void Announce(HttpContext http, JsonFields fields, List<string> ignored)
    {
        fields.Close(ignored);
        IgnoredParameters.Announce(http.Response, ignored);
    }

    private static string IdOf(HttpContext http) => (string)http.Request.RouteValues["id"]!;

    private static string ItemIdOf(HttpContext http) => (string)http.Request.RouteValues["item"]!;

    private static ApiException NotFound(HttpContext http) => new(StatusCodes.Status404NotFound,
        $"There is no conversation '{IdOf(http)}'.", ErrorTypes.InvalidRequest, "conversation_id", "not_found");

    private static ApiException ItemNotFound(HttpContext http) => new(StatusCodes.Status404NotFound,
        $"There is no item '{ItemIdOf(http)}' in a conversation '{IdOf(http)}'.", ErrorTypes.InvalidRequest, "item_id", "not_found");
}
