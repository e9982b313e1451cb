using System.Globalization;
using System.Text.Json;
using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Mcp;
using InferenceServer.Models;
using InferenceServer.Operations;
using InferenceServer.Store;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>POST /v1/responses, and what can be done with a response afterwards.</summary>
internal sealed class ResponseEndpoints(ModelCatalogue models, McpServers mcp, ServerStore store, ResponseRuns runs, ConversationLocks conversations, RecentRequests recent, ServerMetrics metrics, TimeProvider clock, ILogger<ResponseEndpoints> log)
{
    public async Task CreateAsync(HttpContext http)
    {
        RequestHints hints = RequestHints.Of(http.Request);
        ResponseRequest request = await JsonBody.ReadAsync(http, (body, ignored) => ResponseRequestParser.Parse(body, null, ignored));
        bool stores = request.Store ?? store.IsOn;
        if (stores && !store.IsOn)
            throw RequestProblem.Unsupported("store", "this server was started without a data directory (--data-dir).");
        if (request.Background && !stores)
            throw RequestProblem.Invalid("{where} needs the response to be stored: there is no other way to fetch it.", "background", "invalid_value");
        ServedModel model = await models.UseAsync(http, request.Model, stream: request.Stream ? LoadSigns.OfEvents(clock) : null);
        GenerationOptions options = request.Chat.Options.Over(model.Settings());
        // What is told of the response is what it is made with.
        request = request with { Temperature = options.Sampling.Temperature, TopP = options.Sampling.TopP, Chat = request.Chat with { Options = options } };
        string owner = StoreOwner.Of(http);
        // Who says where in the tree the turn belongs may take several at once.
        using ConversationTurn? conversation = request is { ConversationId: { } named, ConversationParent: null } ? await conversations.TakeAsync(owner, named, http.RequestAborted) : null;
        ResponseHistory history = await ResponseHistory.LoadAsync(store, runs, owner, request);
        if (history.New.Count == 0 && history.Before.Count == 0)
            throw RequestProblem.Invalid("{where} is required.", "input", "missing_required_parameter");

        string id = $"resp_{Guid.NewGuid():N}";
        string root = history.Root ?? id;
        ChatRequest chat = request.Chat with
        {
            Messages = ResponseMessages.Of(request.Instructions, [.. history.All], out IReadOnlyList<ResponseItem> approved),
            Options = request.Chat.Options with { Session = request.PromptCacheKey ?? request.ConversationId ?? (stores ? root : null) },
        };
        McpOffer? offer = request.Mcp.Count > 0 ? await mcp.OfferAsync(request.Mcp, http.RequestAborted) : null;
        HostedCall[] allowed = [.. approved.Select(call => Approved(call, offer))];
        if (offer is not null)
        {
            HostedLimits limits = offer.Tools.Limits with { MaxCalls = Math.Min(offer.Tools.Limits.MaxCalls, request.MaxToolCalls ?? int.MaxValue) };
            chat = McpUse.With(chat, offer.Tools with { Approved = allowed, Limits = limits }, request.Mcp[0].Path);
        }

        (chat, TruncationReport? truncated) = request.Truncation == "auto" ? ResponseTruncation.Fit(chat, model) : (chat, null);
        ModelResponse first = Begin(id, request, model, stores) with { XTruncation = truncated };
        IReadOnlyList<string> above = request.ConversationId is null ? [] : history.Above;
        if (first.Conversation is { } reference)
            first = first with { Conversation = reference with { ParentId = above.Count > 0 ? above[0] : null } };
        ResponseRun run = new(new ResponseStart(request, first, owner, root, history.New, above, stores ? ResponseOrigin.Write(chat, first, model) : null, Untold(offer, history)), store, clock, log);
        await RunAsync(http, run, request, model, chat, hints, conversation);
    }

    public async Task RetrieveAsync(HttpContext http)
    {
        ResponseRequestParser.CheckIncludes(http.Request);
        IQueryCollection query = http.Request.Query;
        bool streams = query["stream"].ToString() is "true" or "1";
        string after = query["starting_after"].ToString();
        int from = 0;
        if (after.Length > 0 && (!streams || !int.TryParse(after, NumberStyles.None, CultureInfo.InvariantCulture, out from) || from == int.MaxValue))
            throw RequestProblem.Invalid("{where} must be an event's sequence_number, and 'stream' true.", "starting_after", "invalid_value");
        from += after.Length > 0 ? 1 : 0;
        if (query["include_obfuscation"].ToString() is "true" or "1")
            throw RequestProblem.Unsupported("include_obfuscation", "streams are not padded here.");

        string owner = StoreOwner.Of(http), id = IdOf(http);
        if (runs.Find(owner, id) is { } run)
        {
            if (streams)
                await ResponseStreaming.WriteAsync(http, run.Events!, from, clock);
            else
                await AnswerAsync(http, run.Current);
            return;
        }

        StoredResponse stored = await FindAsync(owner, id);
        if (!streams)
            await AnswerAsync(http, StoredResponses.Read(stored));
        else if (stored.Events is { } events)
            await ResponseStreaming.WriteAsync(http, ResponseEventLog.Of(events), from, clock);
        else
            throw RequestProblem.Invalid("Only a response that was made with background: true can be streamed again.", "stream", "invalid_value");
    }

    public async Task DeleteAsync(HttpContext http)
    {
        string owner = StoreOwner.Of(http), id = IdOf(http);
        if (runs.Find(owner, id) is { } run)
        {
            run.Drop();
            await run.Ended;
        }

        if (!await store.Responses.DeleteAsync(owner, id))
            throw NotFound(id);
        await JsonAnswer.WriteAsync(http, new Deletion(id, "response", true), OpenAIJson.Wire.Deletion);
    }

    public async Task CancelAsync(HttpContext http)
    {
        string owner = StoreOwner.Of(http), id = IdOf(http);
        if (runs.Find(owner, id) is { } run)
        {
            run.Cancel();
            await AnswerAsync(http, await run.Ended);
            return;
        }

        ModelResponse response = StoredResponses.Read(await FindAsync(owner, id));
        if (!response.Background)
            throw RequestProblem.Invalid("Only a response that was made with background: true can be cancelled.", "response_id", "invalid_value");
        await AnswerAsync(http, response);
    }

    public async Task ListInputAsync(HttpContext http)
    {
        ResponseRequestParser.CheckIncludes(http.Request);
        PageQuery page = PageReader.Read(http.Request, descendingByDefault: true);
        List<ResponseItem> items = [.. StoredResponses.ReadInput(await FindAsync(StoreOwner.Of(http), IdOf(http)))];
        if (page.Descending)
            items.Reverse();
        if (page.After is { } after)
        {
            int index = items.FindIndex(item => item.Id == after);
            if (index < 0)
                throw RequestProblem.Invalid($"{{where}} names nothing in this list: '{after}'.", "after", "invalid_value");
            items.RemoveRange(0, index + 1);
        }

        Page<ResponseItem> found = Page<ResponseItem>.Of(items, page);
        await JsonAnswer.WriteAsync(http, ResponseItemList.Of(found.Items, found.HasMore), ResponsesJson.Wire.ResponseItemList);
    }

    private async Task RunAsync(HttpContext http, ResponseRun run, ResponseRequest request, ServedModel model, ChatRequest chat, RequestHints hints, ConversationTurn? conversation)
    {
        ModelResponse first = run.Current;
        // A background run outlives this request and its trace.
        RequestTrace trace = request.Background ? new RequestTrace(first.Id, null, clock, metrics) : RequestTrace.Of(http);
        using CancellationTokenRegistration gone = request.Background ? default : http.RequestAborted.UnsafeRegister(static run => ((ResponseRun)run!).Drop(), run);
        trace.Stream = request.Stream;
        ChatTurn turn = await hints.StartAsync(model, chat, trace, run.Stopping);
        RequestHints.Announce(http, turn);
        run.Accepted(ParameterReader.TierName(chat.Options.Priority));
        if (request.Background)
        {
            try
            {
                await run.StoreAsync();
            }
            catch
            {
                turn.Dispose();
                throw;
            }

            ModelResponse queued = run.Current;
            RequestTrace.Of(http).PassOn();
            recent.Begin(run.Owner, "/v1/responses", trace);
            runs.Start(run, turn, trace, conversation?.Pass());
            if (request.Stream)
                await ResponseStreaming.WriteAsync(http, run.Events!, 0, clock);
            else
                await AnswerAsync(http, queued);
            return;
        }

        using (run)
        {
            Task<ModelResponse> running = run.RunAsync(turn, trace);
            if (request.Stream)
                await ResponseStreaming.WriteAsync(http, run.Events!, 0, clock);
            ModelResponse ended = await running;
            if (run.Failure is { } failure)
                trace.Failed(failure, ErrorResponse.Explain(failure, ResponseErrors.Names));
            if (!request.Stream)
                await AnswerAsync(http, ended);
        }
    }

    /// <summary>A call that was approved, of a tool that the request offers.</summary>
    private static HostedCall Approved(ResponseItem call, McpOffer? offer) =>
        offer?.Tools.Tools.FirstOrDefault(tool => tool.Server == call.ServerLabel && tool.Name == call.Name) is { } tool
            ? new HostedCall(call.Id, tool, call.Arguments!) { Approval = call.Id }
            : throw RequestProblem.Invalid($"{{where}} does not offer '{call.Name}' of the MCP server '{call.ServerLabel}', a call of which is approved.", "tools", "invalid_value");

    private static IReadOnlyList<(string Server, IReadOnlyList<McpTool> Tools)> Untold(McpOffer? offer, ResponseHistory history) =>
        offer is null ? [] : [.. offer.Lists.Where(list => !history.All.Any(item => item.Type == ResponseItem.McpListTools && item.ServerLabel == list.Server))];

    /// <summary>The response before anything of it is there.</summary>
    private ModelResponse Begin(string id, ResponseRequest request, ServedModel model, bool stores) => new()
    {
        Id = id,
        CreatedAt = clock.GetUtcNow().ToUnixTimeSeconds(),
        Status = request.Background ? ModelResponse.Queued : ModelResponse.InProgress,
        Background = request.Background,
        Instructions = request.Instructions,
        MaxOutputTokens = request.MaxOutputTokens,
        MaxToolCalls = request.MaxToolCalls,
        Model = model.Id,
        ParallelToolCalls = request.ParallelToolCalls,
        PreviousResponseId = request.PreviousResponseId,
        Conversation = request.ConversationId is { } conversation ? new ConversationReference(conversation) : null,
        PromptCacheKey = request.PromptCacheKey,
        Reasoning = request.Reasoning ?? new ResponseReasoning(null, null),
        SafetyIdentifier = request.SafetyIdentifier,
        Store = stores,
        Temperature = request.Temperature,
        Text = request.Text ?? new ResponseText(),
        ToolChoice = request.ToolChoice ?? AutoChoice,
        Tools = request.Tools,
        TopLogprobs = request.TopLogprobs ?? 0,
        TopP = request.TopP,
        Truncation = request.Truncation,
        User = request.User,
        Metadata = request.Metadata ?? new Dictionary<string, string>(),
    };

    private static JsonElement AutoChoice { get; } = JsonDocument.Parse("\"auto\"").RootElement;

    private async Task<StoredResponse> FindAsync(string owner, string id) =>
        store.IsOn && await store.Responses.FindAsync(owner, id) is { } stored ? await runs.SettleAsync(stored) : throw NotFound(id);

    private static Task AnswerAsync(HttpContext http, ModelResponse response) => JsonAnswer.WriteAsync(http, response, ResponsesJson.Wire.ModelResponse);

    private static string IdOf(HttpContext http) => (string)http.Request.RouteValues["id"]!;

    private static RequestProblem NotFound(string id) => new(ProblemKind.NotFound, $"There is no stored response '{id}'.", "response_id", "not_found");
}
