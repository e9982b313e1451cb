using InferenceServer.Chat;
using InferenceServer.Mcp;
using InferenceServer.Models;
using InferenceServer.Store;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>POST /v1/responses/input_tokens and /v1/responses/compact: what makes no response of its own.</summary>
internal sealed class ResponseSideEndpoints(ModelCatalogue models, McpServers mcp, ServerStore store, ResponseRuns runs, TimeProvider clock)
{
    // What the model is asked for a compaction; a fraction of the context, so that the rest of a conversation fits beside it.
    private const string SummaryRequest =
        "Summarise the conversation so far for yourself, so that you could go on with it from your summary alone. Keep names, numbers, decisions, open questions and "
        + "results of tool calls. Answer with the summary only.";

    private const int SummaryShare = 4;

    public async Task CountAsync(HttpContext http)
    {
        (ResponseRequest request, ServedModel model, ResponseHistory history) = await ReadAsync(http);
        ChatRequest chat = await mcp.OfferAsync(request.Chat with { Messages = ResponseMessages.Of(request.Instructions, history.All) }, request.Mcp, http.RequestAborted);
        if (request.Truncation == "auto")
            (chat, _) = ResponseTruncation.Fit(chat, model);
        List<string> adaptations = [];
        int tokens = chat.Messages.Count == 0 ? 0 : ChatPrompt.Tokenize(chat, model, adaptations).Length;
        RequestHints.Announce(http, adaptations);
        await JsonAnswer.WriteAsync(http, new ResponseInputTokenCount("response.input_tokens", tokens), ResponsesJson.Wire.ResponseInputTokenCount);
    }

    /// <summary>The users' messages as they are, then everything in the model's own summary.</summary>
    public async Task CompactAsync(HttpContext http)
    {
        RequestHints hints = RequestHints.Of(http.Request);
        (ResponseRequest request, ServedModel model, ResponseHistory history) = await ReadAsync(http);
        if (!history.All.Any())
            throw RequestProblem.Invalid("{where} is required.", "input", "missing_required_parameter");
        List<ChatMessage> messages = ResponseMessages.Of(request.Instructions, history.All);
        messages.Add(new ChatMessage { Role = ChatRole.User, Text = SummaryRequest });
        (ChatRequest chat, _) = ResponseTruncation.Fit(request.Chat with
        {
            Messages = messages,
            Options = request.Chat.Options with
            {
                MaxOutputTokens = request.MaxOutputTokens ?? model.ContextLength / SummaryShare,
                Session = request.PromptCacheKey ?? history.Root,
            },
        }, model);
        using ChatTurn turn = await hints.StartAsync(http, model, chat, stream: false);
        WholeReply reply = (await turn.CollectAsync())[0];
        if (string.IsNullOrWhiteSpace(reply.Text))
            throw new RequestProblem(ProblemKind.Failed, "The model gave no summary; 'max_output_tokens' may leave it no room.", code: "no_summary");
        ResponseItem summary = new()
        {
            Id = ResponseItem.NewId(ResponseItem.Compaction),
            Type = ResponseItem.Compaction,
            EncryptedContent = OpaqueText.Write(reply.Text),
        };
        IReadOnlyList<ResponseItem> output = [.. history.All.Where(item => item is { Type: ResponseItem.Message, Role: "user" }), summary];
        Usage usage = Usage.Of([reply.End.Result], 1, reply.End.ReasoningTokens);
        CompactedResponse compacted = new($"resp_{Guid.NewGuid():N}", "response.compaction", output, clock.GetUtcNow().ToUnixTimeSeconds(), ResponseUsage.Of(usage))
        {
            XCache = CacheUse.Of(request.Call.ReportsCache, [reply.End.Result]),
            Timing = RequestTiming.Of(request.Call.ReportsTiming, [reply.End.Result], 1),
        };
        await JsonAnswer.WriteAsync(http, compacted, ResponsesJson.Wire.CompactedResponse);
    }

    private async Task<(ResponseRequest Request, ServedModel Model, ResponseHistory History)> ReadAsync(HttpContext http)
    {
        ResponseRequest request = await JsonBody.ReadAsync(http, (body, ignored) => ResponseRequestParser.Parse(body, models.Models.Count == 1 ? models.Models[0].Id : null, ignored));
        if (request.Stream)
            throw RequestProblem.Unsupported("stream", "the answer is in one piece.");
        return (request, await models.UseAsync(http, request.Model), await ResponseHistory.LoadAsync(store, runs, StoreOwner.Of(http), request));
    }
}
