using InferenceServer.Api.OpenAI;
using InferenceServer.Api.OpenAI.Responses;
using InferenceServer.Chat;
using InferenceServer.Store;

namespace InferenceServer.Api.Feedback;

/// <summary>A reply that feedback is about, and the prompt that it answers.</summary>
internal sealed record FeedbackSubject(FeedbackReply Reply, PromptIdentity Prompt, string PromptHash);

/// <summary>Finds replies by the ids of items and responses.</summary>
internal sealed class FeedbackSubjects(ServerStore store, ResponseRuns runs)
{
    private const string ResponsePrefix = "resp_";

    /// <param name="id">Of a response, or of an item that a response made.</param>
    /// <param name="param">The field that holds it.</param>
    /// <exception cref="RequestProblem">400: no ended response of this owner made it, or its prompt is not known any more.</exception>
    public async Task<FeedbackSubject> FindAsync(string owner, string id, string param)
    {
        bool isItem = !id.StartsWith(ResponsePrefix, StringComparison.Ordinal);
        StoredResponse stored = await runs.SettleAsync((isItem ? await store.Responses.FindByItemAsync(owner, id) : await store.Responses.FindAsync(owner, id)) ?? throw NoReply(id, param));
        ModelResponse response = StoredResponses.Read(stored);
        if (isItem && response.Output.All(item => item.Id != id))
            throw NoReply(id, param);
        if (stored.Running)
            throw RequestProblem.Invalid($"The reply '{id}' has not ended yet.", param, "invalid_value");
        if (stored.Origin is not { } kept)
            throw RequestProblem.Invalid($"The reply '{id}' was made by an earlier version of this server, which did not keep how.", param, "invalid_value");
        List<ChatMessage> said = ResponseMessages.Of(null, response.Output);
        if (said.Count == 0)
            throw RequestProblem.Invalid($"The response of '{id}' says nothing.", param, "invalid_value");

        ResponseOrigin origin = ResponseOrigin.Read(kept);
        PromptIdentity prompt = PromptIdentity.Of(await PromptAsync(owner, stored, response), response.Tools);
        if (prompt.Hash() != origin.PromptHash)
            throw RequestProblem.Invalid($"What the reply '{id}' answers has been deleted or changed since: its prompt is not known any more.", param, "prompt_changed");
        // Whatever was said in pieces, such as a refusal after a cut text, is one reply.
        string[] contents = [.. said.Select(message => message.Text).OfType<string>()];
        ChatCompletionToolCall[] calls = [.. said.SelectMany(message => message.ToolCalls ?? []).Select(call => ChatCompletionToolCall.Of(call))];
        return new FeedbackSubject(new FeedbackReply(response.Id, isItem ? id : null, response.Model, origin.Fingerprint, origin.Sampling, response.Status, contents.Length > 0 ? string.Join("\n\n", contents) : null)
        {
            ReasoningContent = said.Find(message => message.Reasoning is not null)?.Reasoning,
            ToolCalls = calls.Length > 0 ? calls : null,
        }, prompt, origin.PromptHash);
    }

    /// <summary>The messages that the response's chat template was given, put together as they were then.</summary>
    private async Task<IReadOnlyList<ChatMessage>> PromptAsync(string owner, StoredResponse stored, ModelResponse response)
    {
        List<ResponseItem> items = [];
        if (response.Conversation is { ParentId: { } parent } conversation)
            items.AddRange((await store.Conversations.PathAsync(owner, conversation.Id, parent)).Select(StoredResponses.ReadItem));
        if (response.PreviousResponseId is { } previous)
            foreach (StoredResponse link in await store.Responses.ChainAsync(owner, previous) ?? [])
                items.AddRange([.. StoredResponses.ReadInput(link), .. StoredResponses.Read(link).Output]);
        items.AddRange(StoredResponses.ReadInput(stored));
        try
        {
            List<ChatMessage> messages = ResponseMessages.Of(response.Instructions, items);
            return response.XTruncation is { } report ? ResponseTruncation.Drop(messages, report) : messages;
        }
        catch (RequestProblem)
        {
            // A call whose output is among them was deleted: no prompt, and none has its hash.
            return [];
        }
    }

    private static RequestProblem NoReply(string id, string param) =>
        RequestProblem.Invalid($"{{where}} names no reply of a stored response: '{id}'. What a client wrote itself, and what was made with store: false, cannot be judged.", param, "not_a_reply");
}
