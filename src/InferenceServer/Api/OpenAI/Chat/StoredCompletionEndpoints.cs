using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Store;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>Chat completions that were made with <c>store: true</c>: list, get, messages, new metadata, delete.</summary>
internal sealed class StoredCompletionEndpoints(ServerStore store)
{
    public async Task ListAsync(HttpContext http)
    {
        PageQuery page = PageReader.Read(http.Request, descendingByDefault: false);
        Page<StoredCompletion> found = await store.Completions.ListAsync(StoreOwner.Of(http), page, http.Request.Query["model"], MetadataFilter(http.Request));
        List<ChatCompletion> data = [.. found.Items.Select(Read)];
        await JsonAnswer.WriteAsync(http, new ChatCompletionList("list", data, data.Count > 0 ? data[0].Id : "", data.Count > 0 ? data[^1].Id : "", found.HasMore),
            ChatJson.Wire.ChatCompletionList);
    }

    public async Task FindAsync(HttpContext http) =>
        await JsonAnswer.WriteAsync(http, Read(await FindStoredAsync(http)), ChatJson.Wire.ChatCompletion);

    public async Task ListMessagesAsync(HttpContext http)
    {
        PageQuery page = PageReader.Read(http.Request, descendingByDefault: false);
        StoredCompletion completion = await FindStoredAsync(http);
        List<StoredMessage> messages = [.. JsonSerializer.Deserialize(completion.Messages, ChatJson.Wire.IReadOnlyListStoredMessage)!];
        if (page.Descending)
            messages.Reverse();
        if (page.After is { } after)
        {
            int index = messages.FindIndex(message => message.Id == after);
            if (index < 0)
                throw RequestProblem.Invalid($"{{where}} names nothing in this list: '{after}'.", "after", "invalid_value");
            messages.RemoveRange(0, index + 1);
        }

        Page<StoredMessage> found = Page<StoredMessage>.Of(messages, page);
        await JsonAnswer.WriteAsync(http, new StoredMessageList("list", found.Items, found.Items.Count > 0 ? found.Items[0].Id : "",
            found.Items.Count > 0 ? found.Items[^1].Id : "", found.HasMore), ChatJson.Wire.StoredMessageList);
    }

    public async Task UpdateAsync(HttpContext http)
    {
        IReadOnlyDictionary<string, string> metadata;
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            List<string> ignored = [];
            JsonFields fields = new(body.RootElement, "");
            metadata = MetadataReader.ReadReplacement(fields);
            fields.Close(ignored);
            IgnoredParameters.Announce(http.Response, ignored);
        }

        StoredCompletion updated = await store.Completions.SetMetadataAsync(StoreOwner.Of(http), IdOf(http), metadata) ?? throw NotFound(http);
        await JsonAnswer.WriteAsync(http, Read(updated), ChatJson.Wire.ChatCompletion);
    }

    public async Task DeleteAsync(HttpContext http)
    {
        if (!await store.Completions.DeleteAsync(StoreOwner.Of(http), IdOf(http)))
            throw NotFound(http);
        await JsonAnswer.WriteAsync(http, new Deletion(IdOf(http), "chat.completion.deleted", true), OpenAIJson.Wire.Deletion);
    }

    /// <summary>A completion as the store takes it.</summary>
    public static StoredCompletion ToStore(string owner, ChatCompletion completion, ChatCall call)
    {
        IReadOnlyList<StoredMessage> messages = [.. call.Chat.Messages.Select((message, index) => new StoredMessage($"{completion.Id}-{index}", message.Role.Name(), message.Text)
        {
            Name = message.AuthorName,
            ToolCalls = message.ToolCalls?.Select(made => ChatCompletionToolCall.Of(made, call.CustomTools)).ToList(),
            ToolCallId = message.ToolCallId,
            ReasoningContent = message.Reasoning,
        })];
        return new StoredCompletion(completion.Id, owner, DateTimeOffset.FromUnixTimeSeconds(completion.Created), completion.Model,
            call.Metadata ?? new Dictionary<string, string>(),
            JsonSerializer.SerializeToUtf8Bytes(completion with { Metadata = null, XCache = null, Timing = null }, ChatJson.Wire.ChatCompletion),
            JsonSerializer.SerializeToUtf8Bytes(messages, ChatJson.Wire.IReadOnlyListStoredMessage));
    }

    private static ChatCompletion Read(StoredCompletion stored) =>
        JsonSerializer.Deserialize(stored.Body, ChatJson.Wire.ChatCompletion)! with { Metadata = stored.Metadata };

    private async Task<StoredCompletion> FindStoredAsync(HttpContext http) =>
        await store.Completions.FindAsync(StoreOwner.Of(http), IdOf(http)) ?? throw NotFound(http);

    /// <summary>The pairs <c>metadata[key]=value</c> of the query.</summary>
    private static Dictionary<string, string> MetadataFilter(HttpRequest request) => request.Query
        .Where(pair => pair.Key.StartsWith("metadata[", StringComparison.Ordinal) && pair.Key.EndsWith(']'))
        .ToDictionary(pair => pair.Key["metadata[".Length..^1], pair => pair.Value.ToString());

    private static string IdOf(HttpContext http) => (string)http.Request.RouteValues["id"]!;

    private static RequestProblem NotFound(HttpContext http) => new(ProblemKind.NotFound,
        $"There is no stored completion '{IdOf(http)}'; completions are kept when they are made with store: true.", "completion_id", "not_found");
}
