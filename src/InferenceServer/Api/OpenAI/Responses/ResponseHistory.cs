using System.Text.Json;
using InferenceServer.Store;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>What a response goes on from.</summary>
/// <param name="Before">Items of the conversation, or of the responses before; oldest first.</param>
/// <param name="New">The request's own, references looked up.</param>
/// <param name="Root">The first response of the chain; null when this is it.</param>
internal sealed record ResponseHistory(IReadOnlyList<ResponseItem> Before, IReadOnlyList<ResponseItem> New, string? Root)
{
    public IEnumerable<ResponseItem> All => Before.Concat(New);

    /// <summary>Ids of what came before, the newest first: where a conversation goes on, and where if an item is deleted meanwhile.</summary>
    public IReadOnlyList<string> Above => [.. Before.Reverse().Select(item => item.Id)];

    /// <summary>Reads what the request refers to.</summary>
    /// <exception cref="RequestProblem">400 or 404: something of it is not there.</exception>
    public static async Task<ResponseHistory> LoadAsync(ServerStore store, ResponseRuns runs, string owner, ResponseRequest request)
    {
        List<ResponseItem> before = [];
        string? root = null;
        if (request.PreviousResponseId is { } previous)
        {
            List<StoredResponse> chain = await ChainAsync(store, runs, owner, previous);
            root = chain[^1].Root;
            foreach (StoredResponse link in chain)
                before.AddRange([.. StoredResponses.ReadInput(link), .. StoredResponses.Read(link).Output]);
        }
        else if (request.ConversationId is { } conversation)
        {
            if (await store.Conversations.FindAsync(owner, conversation) is null)
                throw new RequestProblem(ProblemKind.NotFound, $"There is no conversation '{conversation}'.", "conversation", "not_found");
            before.AddRange(await PathAsync(store, owner, conversation, request.ConversationParent));
        }

        List<ResponseItem> items = [];
        foreach (InputItem input in request.Items)
            items.Add(input.Item ?? await FindAsync(store, owner, input, before));
        // What a conversation has already is said once more: an item of its own.
        if (request.ConversationId is not null)
            items = items.ConvertAll(item => item with { Id = ResponseItem.NewId(item.Type) });
        return new ResponseHistory(before, items, root);
    }

    private static async Task<IEnumerable<ResponseItem>> PathAsync(ServerStore store, string owner, string conversation, SentParent? parent)
    {
        if (parent is { Id: null })
            return [];
        List<StoredItem> path = await store.Conversations.PathAsync(owner, conversation, parent?.Id);
        return parent is { Id: { } wanted } && path.Count == 0
            ? throw RequestProblem.Invalid($"{{where}} names no item of this conversation: '{wanted}'.", "conversation.parent_id", "item_not_found")
            : path.Select(StoredResponses.ReadItem);
    }

    private static async Task<List<StoredResponse>> ChainAsync(ServerStore store, ResponseRuns runs, string owner, string id)
    {
        List<StoredResponse> chain = await store.Responses.ChainAsync(owner, id)
            ?? throw RequestProblem.Invalid($"The response '{id}', or one that it goes on from, is not stored here.", "previous_response_id", "previous_response_not_found");
        // It may be stored as running while nobody runs it any more.
        chain[^1] = await runs.SettleAsync(chain[^1]);
        return chain[^1].Running
            ? throw RequestProblem.Invalid($"The response '{id}' has not ended yet.", "previous_response_id", "invalid_value")
            : chain;
    }

    /// <summary>An item by its id: of what comes before, or of any stored response or conversation.</summary>
    private static async Task<ResponseItem> FindAsync(ServerStore store, string owner, InputItem input, List<ResponseItem> before)
    {
        string id = input.Reference!;
        if (before.Find(item => item.Id == id) is { } known)
            return known;
        if (store.IsOn && await store.Responses.FindByItemAsync(owner, id) is { } response
            && StoredResponses.ReadInput(response).Concat(StoredResponses.Read(response).Output).FirstOrDefault(item => item.Id == id) is { } found)
            return found;
        if (store.IsOn && await store.Conversations.FindItemAsync(owner, id) is { } stored)
            return StoredResponses.ReadItem(stored);
        throw RequestProblem.Invalid($"There is no stored item '{id}'.", $"{input.Path}.id", "item_not_found");
    }
}

/// <summary>Responses and items to and from what the store holds.</summary>
internal static class StoredResponses
{
    public static StoredResponse Write(string owner, ModelResponse response, IReadOnlyList<ResponseItem> input, string root, byte[]? events, byte[]? origin) => new(
        response.Id, owner, DateTimeOffset.FromUnixTimeSeconds(response.CreatedAt), response.Status is ModelResponse.Queued or ModelResponse.InProgress,
        response.PreviousResponseId, root, JsonSerializer.SerializeToUtf8Bytes(response, ResponsesJson.Wire.ModelResponse),
        JsonSerializer.SerializeToUtf8Bytes(input, ResponsesJson.Wire.IReadOnlyListResponseItem), events, response.Conversation?.Id, origin);

    public static ModelResponse Read(StoredResponse stored) => JsonSerializer.Deserialize(stored.Body, ResponsesJson.Wire.ModelResponse)!;

    public static IReadOnlyList<ResponseItem> ReadInput(StoredResponse stored) => JsonSerializer.Deserialize(stored.Input, ResponsesJson.Wire.IReadOnlyListResponseItem)!;

    public static ResponseItem ReadItem(StoredItem stored) => JsonSerializer.Deserialize(stored.Body, ResponsesJson.Wire.ResponseItem)!;

    public static NewItem WriteItem(ResponseItem item) => new(item.Id, JsonSerializer.SerializeToUtf8Bytes(item, ResponsesJson.Wire.ResponseItem));
}
