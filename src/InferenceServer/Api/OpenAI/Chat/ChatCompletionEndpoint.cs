using System.Text.Json;
using InferenceServer.Api.Moderation;
using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Mcp;
using InferenceServer.Models;
using InferenceServer.Operations;
using InferenceServer.Store;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>POST /v1/chat/completions.</summary>
internal sealed class ChatCompletionEndpoint(ModelCatalogue models, McpServers mcp, ServerStore store, TimeProvider clock)
{
    public async Task HandleAsync(HttpContext http)
    {
        RequestHints hints = RequestHints.Of(http.Request);
        ChatCall call = await JsonBody.ReadAsync(http, ChatRequestParser.Parse);
        if (call.Store && !store.IsOn)
            throw RequestProblem.Unsupported("store", "this server was started without a data directory (--data-dir).");
        ServedModel model = await models.UseAsync(http, call.Model, stream: call.Options.Stream ? LoadSigns.OfEvents(clock) : null);
        ChatRequest chat = await mcp.OfferAsync(call.Chat, call.Mcp, http.RequestAborted);
        using ChatTurn turn = await hints.StartAsync(http, model, chat, call.Options.Stream);
        ChatHeader header = new($"chatcmpl-{Guid.NewGuid():N}", clock.GetUtcNow().ToUnixTimeSeconds(), model.Id,
            ParameterReader.TierName(call.Chat.Options.Priority), model.Fingerprint);
        Func<WholeReply[], Task>? keep = call.Store
            ? replies => store.Completions.AddAsync(StoredCompletionEndpoints.ToStore(StoreOwner.Of(http), Whole(replies, header, turn, call), call))
            : null;
        if (call.Options.Stream)
        {
            using SseBuffer buffer = new(http.Response.BodyWriter);
            await ReplyStream.WriteAsync(http, buffer, turn, new ChatStreamEncoder(buffer, header, turn, call), clock, store: keep);
            return;
        }

        await JsonAnswer.WriteAsync(http, Whole(await turn.CollectAsync(keep), header, turn, call), ChatJson.Wire.ChatCompletion);
    }

    /// <summary>OpenAI's name of an end.</summary>
    public static string FinishReason(ReplyEnd end, ChatCall call) => end.Finish switch
    {
        ReplyFinish.ToolCalls => call.CallFinishReason,
        ReplyFinish.Length => "length",
        ReplyFinish.ContentFilter => "content_filter",
        _ => "stop",
    };

    private static ChatCompletion Whole(WholeReply[] replies, ChatHeader header, ChatTurn turn, ChatCall call)
    {
        ChatChoice[] choices = new ChatChoice[replies.Length];
        for (int i = 0; i < choices.Length; i++)
        {
            WholeReply reply = replies[i];
            ChatCompletionToolCall[] calls = [.. reply.ToolCalls.Select(made => ChatCompletionToolCall.Of(made, call.CustomTools))];
            ChatReply message = new("assistant", reply.Text, reply.Refusal)
            {
                ReasoningContent = reply.Reasoning,
                McpCalls = reply.HostedCalls.Count > 0 ? [.. reply.HostedCalls.Select(ChatMcpCall.Of)] : null,
                ToolCalls = calls.Length > 0 && !call.AnswersFunctionCall ? calls : null,
                FunctionCall = calls.Length > 0 && call.AnswersFunctionCall ? calls[0].Function : null,
            };
            ChatLogprobs? logprobs = call.Logprobs
                ? new ChatLogprobs([.. reply.Logprobs.Select(token => ReportedLogprob.Of(turn.Model.Vocabulary, token))], null)
                : null;
            choices[i] = new ChatChoice(i, message, logprobs, FinishReason(reply.End, call));
        }

        GenerationResult[] results = Array.ConvertAll(replies, reply => reply.End.Result);
        return new ChatCompletion(header.Id, "chat.completion", header.Created, header.Model, choices,
            Usage.Of(results, results.Length, replies.Sum(reply => reply.End.ReasoningTokens)), header.ServiceTier, header.Fingerprint)
        {
            Metadata = call.Metadata,
            Moderation = ChatModeration.Of(turn.Moderation),
            XCache = CacheUse.Of(call.Options.ReportsCache, results),
            Timing = RequestTiming.Of(call.Options.ReportsTiming, results, results.Length),
        };
    }
}
