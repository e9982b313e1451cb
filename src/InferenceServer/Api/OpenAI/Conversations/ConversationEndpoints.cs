using System.Text.Json;
using InferenceServer.Api.OpenAI.Responses;
using InferenceServer.Store;
using Microsoft.AspNetCore.Http.Features;

namespace InferenceServer.Api.OpenAI.Conversations;

/// <summary>/v1/conversations: items that are kept together, to be continued by responses.</summary>
internal sealed class ConversationEndpoints(ServerStore store, ResponseRuns runs, ConversationLocks locks, TimeProvider clock)
{
    // OpenAI takes 20. Imports bring thousands, and other changes wait for one: a request with 1,000 items takes 0.1 s on two cores.
    private const int MaxNewItems = 1_000;

    public async Task CreateAsync(HttpContext http)
    {
        IReadOnlyDictionary<string, string> metadata;
        List<InputItem> items;
        DateTimeOffset created = clock.GetUtcNow();
        // The one body that may be left out.
        using (JsonDocument body = HasNoBody(http) ? JsonDocument.Parse("{}") : await JsonBody.ReadAsync(http))
        {
            List<string> ignored = [];
            JsonFields fields = new(body.RootElement, "");
            metadata = MetadataReader.Read(fields) ?? [];
            if (fields.Long("created_at", 0, created.ToUnixTimeSeconds()) is { } seconds)
                created = DateTimeOffset.FromUnixTimeSeconds(seconds);
            items = fields.Take("items") is { } given ? ResponseItemParser.ReadItems(given, "items", MaxNewItems, ignored) : [];
            Announce(http, fields, ignored);
        }

        StoredConversation conversation = new($"conv_{Guid.NewGuid():N}", StoreOwner.Of(http), created, metadata);
        IReadOnlyList<StoredItem> added = await store.Conversations.AddAsync(conversation, await PlaceAsync(items, null));
        await AnswerAsync(http, conversation with { Updated = added.Select(item => item.Created).Append(created).Max() });
    }

    public async Task ListAsync(HttpContext http)
    {
        PageQuery query = PageReader.Read(http.Request, descendingByDefault: true);
        string text = http.Request.Query["query"].ToString();
        if (text.Length > ConversationSearch.MaxLength)
            throw RequestProblem.Invalid($"{{where}} may have at most {ConversationSearch.MaxLength} characters.", "query", "invalid_length");
        ConversationSearch? search = ConversationSearch.Of(text);
        // What has no word is found nowhere.
        Page<(StoredConversation Conversation, SearchMatch? Match)> page = text.Length > 0 && search is null
            ? new([], HasMore: false)
            : await store.Conversations.ListAsync(StoreOwner.Of(http), query, search);
        List<Conversation> found = [.. page.Items.Select(row => Describe(row.Conversation) with
        {
            Match = row.Match is { } match ? new ConversationMatch(match.ItemId, match.Before, match.Text, match.After) : null,
        })];
        await JsonAnswer.WriteAsync(http, new ConversationList("list", found, found.Count > 0 ? found[0].Id : "", found.Count > 0 ? found[^1].Id : "", page.HasMore), ResponsesJson.Wire.ConversationList);
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
        foreach (ResponseRun run in runs.In(StoreOwner.Of(http), IdOf(http)))
        {
            run.Drop();
            await run.Ended;
        }

        if (!await store.Conversations.DeleteAsync(StoreOwner.Of(http), IdOf(http)))
            throw NotFound(http);
        await JsonAnswer.WriteAsync(http, new Deletion(IdOf(http), "conversation.deleted", true), OpenAIJson.Wire.Deletion);
    }

    public async Task CreateItemsAsync(HttpContext http)
    {
        ResponseRequestParser.CheckIncludes(http.Request);
        List<InputItem> items;
        SentParent? parent;
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            List<string> ignored = [];
            JsonFields fields = new(body.RootElement, "");
            items = ResponseItemParser.ReadItems(fields.Require("items"), "items", MaxNewItems, ignored);
            parent = SentParent.Read(fields);
            Announce(http, fields, ignored);
        }

        List<NewItem> placed = await PlaceAsync(items, parent);
        using ConversationTurn change = await ChangeAsync(http);
        IReadOnlyList<StoredItem> added = await store.Conversations.AppendAsync(StoreOwner.Of(http), new ConversationAppend(IdOf(http), placed)) ?? throw NotFound(http);
        await JsonAnswer.WriteAsync(http, ConversationItemList.Of(added, hasMore: false), ResponsesJson.Wire.ConversationItemList);
    }

    public async Task ListItemsAsync(HttpContext http)
    {
        ResponseRequestParser.CheckIncludes(http.Request);
        PageQuery query = PageReader.Read(http.Request, descendingByDefault: true);
        StoredConversation conversation = await FindAsync(http);
        Page<StoredItem> page = await store.Conversations.ListItemsAsync(conversation.Owner, conversation.Id, query);
        await JsonAnswer.WriteAsync(http, ConversationItemList.Of(page.Items, page.HasMore), ResponsesJson.Wire.ConversationItemList);
    }

    public async Task RetrieveItemAsync(HttpContext http)
    {
        ResponseRequestParser.CheckIncludes(http.Request);
        StoredItem item = await store.Conversations.FindItemAsync(StoreOwner.Of(http), IdOf(http), ItemIdOf(http)) ?? throw ItemNotFound(http);
        await JsonAnswer.WriteAsync(http, ConversationItem.Of(item), ResponsesJson.Wire.ConversationItem);
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

    /// <summary>Items with the ids that they will have, below those that were meant.</summary>
    /// <param name="first">What the first one hangs below if it does not say so itself.</param>
    private async Task<List<NewItem>> PlaceAsync(List<InputItem> items, SentParent? first)
    {
        HashSet<string> taken = [.. await store.Conversations.FindTakenAsync(items.Select(item => item.SentId).OfType<string>())];
        Dictionary<string, string> sent = [];
        List<NewItem> placed = new(items.Count);
        foreach (InputItem input in items)
        {
            ResponseItem item = input.Item ?? throw RequestProblem.Unsupported($"{input.Path}.type", "a conversation takes items, not references to them.");
            (SentParent? parent, string path) = input.Parent is null && placed.Count == 0 ? (first, "parent_id") : (input.Parent, $"{input.Path}.parent_id");
            List<string> candidates = parent?.Id is { } named ? [sent.GetValueOrDefault(named, named)] : [];
            if (input.SentId is { } id)
            {
                if (ResponseItem.IsId(item.Type, id) && taken.Add(id))
                    item = item with { Id = id };
                sent[id] = item.Id;
            }

            placed.Add(StoredResponses.WriteItem(item) with { Parent = parent is null ? null : new ItemParent(candidates, path), Created = input.Created });
        }

        return placed;
    }

    private async Task<StoredConversation> FindAsync(HttpContext http) =>
        await store.Conversations.FindAsync(StoreOwner.Of(http), IdOf(http)) ?? throw NotFound(http);

    private Task AnswerAsync(HttpContext http, StoredConversation conversation) => JsonAnswer.WriteAsync(http, Describe(conversation), ResponsesJson.Wire.Conversation);

    private Conversation Describe(StoredConversation conversation) => new(conversation.Id, "conversation", conversation.Created.ToUnixTimeSeconds(), conversation.Metadata)
    {
        UpdatedAt = conversation.Updated.ToUnixTimeSeconds(),
        Running = [.. runs.In(conversation.Owner, conversation.Id).Select(run => run.Id)],
    };

    private static void Announce(HttpContext http, JsonFields fields, List<string> ignored)
    {
        fields.Close(ignored);
        IgnoredParameters.Announce(http.Response, ignored);
    }

    private static string IdOf(HttpContext http) => (string)http.Request.RouteValues["id"]!;

    private static string ItemIdOf(HttpContext http) => (string)http.Request.RouteValues["item"]!;

    private static RequestProblem NotFound(HttpContext http) => new(ProblemKind.NotFound,
        $"There is no conversation '{IdOf(http)}'.", "conversation_id", "not_found");

    private static RequestProblem ItemNotFound(HttpContext http) => new(ProblemKind.NotFound,
        $"There is no item '{ItemIdOf(http)}' in a conversation '{IdOf(http)}'.", "item_id", "not_found");
}
