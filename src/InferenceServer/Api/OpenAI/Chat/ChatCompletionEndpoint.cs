using System.Text.Json;
using InferenceServer.Api.Streaming;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Operations;
using InferenceServer.Store;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>POST /v1/chat/completions.</summary>
internal sealed class ChatCompletionEndpoint(ModelCatalogue models, ServerStore store, TimeProvider clock)
{
    public async Task HandleAsync(HttpContext http)
    {
        RequestTrace trace = RequestTrace.Of(http);
        RequestHints hints = RequestHints.Of(http.Request);
        ChatCompletionRequest request;
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            List<string> ignored = [];
            request = ChatRequestParser.Parse(body.RootElement, ignored);
            IgnoredParameters.Announce(http.Response, ignored);
        }

        if (request.Store && !store.IsOn)
            throw ApiException.Unsupported("store", "this server was started without a data directory (--data-dir).");
        ServedModel model = models.Find(request.Model);
        using ChatTurn turn = await ChatTurn.StartAsync(model, request, hints, trace, http.RequestAborted);
        ChatHeader header = new($"chatcmpl-{Guid.NewGuid():N}", clock.GetUtcNow().ToUnixTimeSeconds(), model.Id,
            GenerationTranslator.TierName(turn.Requests[0].Priority), model.Fingerprint);
        if (request.Stream)
        {
            using SseBuffer buffer = new(http.Response.BodyWriter);
            ChatStreamEncoder encoder = new(buffer, header, model.Vocabulary, turn.Requests.Count, request.StreamOptions?.IncludeUsage ?? false,
                request.XCacheReport, request.Timing, request.AnswersFunctionCall)
            { Moderation = turn.Moderation, CallFinishReason = request.CallFinishReason };
            await StreamAsync(http, buffer, turn, encoder, header, request);
            return;
        }

        ChatCompletion completion = Whole(await turn.CollectAsync(), header, turn, request);
        if (request.Store)
            await store.Completions.AddAsync(StoredCompletionEndpoints.ToStore(StoreOwner.Of(http), completion, request));
        await JsonAnswer.WriteAsync(http, completion, OpenAIJson.Wire.ChatCompletion);
    }

    private async Task StreamAsync(HttpContext http, SseBuffer buffer, ChatTurn turn, ChatStreamEncoder encoder, ChatHeader header, ChatCompletionRequest request)
    {
        if (!request.Store)
        {
            await turn.StreamAsync(http, buffer, encoder, clock);
            return;
        }

        StoringEncoder storing = new(encoder, turn.Requests.Count);
        await turn.StreamAsync(http, buffer, storing, clock, () => store.Completions.AddAsync(
            StoredCompletionEndpoints.ToStore(StoreOwner.Of(http), Whole(storing.Replies(), header, turn, request), request)));
    }

    /// <summary>OpenAI's name of an end.</summary>
    /// <param name="callFinishReason">As <see cref="ChatCompletionRequest.CallFinishReason"/>.</param>
    public static string FinishReason(ChatReplyEnd end, string callFinishReason) => end.FinishReason == "tool_calls" ? callFinishReason : end.FinishReason;

    private static ChatCompletion Whole(ChatTurnReply[] replies, ChatHeader header, ChatTurn turn, ChatCompletionRequest request)
    {
        ChatChoice[] choices = new ChatChoice[replies.Length];
        for (int i = 0; i < choices.Length; i++)
        {
            ChatTurnReply reply = replies[i];
            ChatReply message = new("assistant", reply.Content, reply.Refusal)
            {
                ReasoningContent = reply.Reasoning,
                ToolCalls = reply.Calls.Count > 0 && !request.AnswersFunctionCall ? reply.Calls : null,
                FunctionCall = reply.Calls.Count > 0 && request.AnswersFunctionCall ? reply.Calls[0].Function : null,
            };
            ChatLogprobs? logprobs = request.Logprobs
                ? new ChatLogprobs([.. reply.Logprobs.Select(token => LogprobFormatter.Chat(turn.Model.Vocabulary, token))], null)
                : null;
            choices[i] = new ChatChoice(i, message, logprobs, FinishReason(reply.End, request.CallFinishReason));
        }

        GenerationResult[] results = Array.ConvertAll(replies, reply => reply.End.Result);
        return new ChatCompletion(header.Id, "chat.completion", header.Created, header.Model, choices,
            Usage.Of(results, results.Length, replies.Sum(reply => reply.End.ReasoningTokens)), header.ServiceTier, header.Fingerprint)
        { Metadata = request.Metadata, Moderation = turn.Moderation?.Report(), XCache = CacheUse.Of(request.XCacheReport, results), Timing = RequestTiming.Of(request.Timing, results, results.Length) };
    }
}
