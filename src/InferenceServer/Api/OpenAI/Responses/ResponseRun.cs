// One response on its way: reads the reply, writes events, stores the end, and only then tells it. It belongs to its own task, so that it can go on without
// the request that began it. Always: the last event comes after the response is on the disk; the log ends whatever happens.

using InferenceServer.Api.Moderation;
using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Mcp;
using InferenceServer.Operations;
using InferenceServer.Store;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>What a run is given.</summary>
/// <param name="First">The response as it begins.</param>
/// <param name="Root">The first response of its chain.</param>
/// <param name="NewItems">The request's own input items.</param>
/// <param name="Above">In a conversation: ids of the items before, the newest first.</param>
/// <param name="Origin">What is kept of how it was made.</param>
/// <param name="Lists">Tools of MCP servers that the conversation has not been told of yet.</param>
internal sealed record ResponseStart(
    ResponseRequest Request, ModelResponse First, string Owner, string Root, IReadOnlyList<ResponseItem> NewItems, IReadOnlyList<string> Above, byte[]? Origin,
    IReadOnlyList<(string Server, IReadOnlyList<McpTool> Tools)> Lists)
{
    public bool Store => First.Store;
}

internal sealed partial class ResponseRun(ResponseStart start, ServerStore store, TimeProvider clock, ILogger log) : IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource<ModelResponse> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile ModelResponse _current = start.First;
    private volatile bool _cancelled;
    private volatile bool _dropped;

    public string Id => start.First.Id;

    public string Owner => start.Owner;

    /// <summary>The conversation that it is made in; null for none.</summary>
    public string? Conversation => start.Request.ConversationId;

    /// <summary>Null where nobody may read them.</summary>
    public ResponseEventLog? Events { get; } = start.Request.Stream || start.First.Background ? new() : null;

    /// <summary>As it is now.</summary>
    public ModelResponse Current => _current;

    /// <summary>Cancelled when the run is to stop.</summary>
    public CancellationToken Stopping => _stop.Token;

    /// <summary>The response once it has ended.</summary>
    public Task<ModelResponse> Ended => _ended.Task;

    /// <summary>The engine took it, in this tier. Before it runs.</summary>
    public void Accepted(string tier) => _current = _current with { ServiceTier = tier };

    /// <summary>What a stream or a background run ended in instead of a response; null where there is none, and where a client cancelled it.</summary>
    public RequestProblem? Failure { get; private set; }

    /// <summary>It ended otherwise than by what is stored of it.</summary>
    public bool IsUnsaved { get; private set; }

    /// <summary>Keeps it as it is: running. Completes when that is on the disk.</summary>
    public Task StoreAsync() => store.Responses.SaveAsync(
        StoredResponses.Write(Owner, _current, start.NewItems, start.Root, null, start.Origin), [.. start.NewItems.Select(item => item.Id)], null);

    /// <summary>A client asked for it.</summary>
    public void Cancel()
    {
        _cancelled = true;
        Stop();
    }

    /// <summary>Its client is gone, or has deleted it: it stops, and nothing of it is kept.</summary>
    public void Drop()
    {
        _dropped = true;
        Stop();
    }

    /// <summary>Runs to the end.</summary>
    /// <returns>The response, ended.</returns>
    /// <exception cref="RequestProblem">Without a stream or a background: the reply failed. With any: it could not be stored.</exception>
    public async Task<ModelResponse> RunAsync(ChatTurn turn, RequestTrace trace)
    {
        using ResponseEventWriter events = new(Events);
        try
        {
            Announce(events);
            ResponseEncoder encoder = new(turn.Model.Vocabulary, events, start.Request, start.Lists, () => BecomesBusy(events));
            ModelResponse ended;
            try
            {
                await ReplyStream.ReadAsync(turn, encoder);
                ended = Whole(encoder) with { Moderation = ResponseModeration.Of(turn.Moderation) };
            }
            catch (RequestProblem error) when (Events is not null)
            {
                encoder.Error(error);
                Failure = _cancelled ? null : error;
                ended = Unfinished(error, encoder.Output);
            }

            await EndAsync(events, ended);
            return ended;
        }
        catch (Exception error) when (Events is not null)
        {
            // Nobody waits for a background run: what is wrong with it is told here or nowhere.
            RequestProblem told = error as RequestProblem ?? ErrorMiddleware.Fault();
            if (error is not RequestProblem)
                LogFault(log, Id, error);
            Failure = told;
            _current = Unfinished(told, _current.Output);
            IsUnsaved = start.First.Background && !_dropped;
            events.Error(told);
            return _current;
        }
        finally
        {
            turn.Dispose();
            // What runs in the background has no request that would say how it ended.
            if (start.First.Background)
                trace.Ended(Failure is { } failure ? ErrorWriter.StatusOf(failure.Kind) : StatusCodes.Status200OK, _cancelled || _dropped ? "cancelled" : RequestTrace.OutcomeOf(Failure?.Kind));
            Events?.End();
            _ended.TrySetResult(_current);
        }
    }

    public void Dispose() => _stop.Dispose();

    private void Stop()
    {
        try
        {
            _stop.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // It has ended meanwhile.
        }
    }

    private void Announce(ResponseEventWriter events)
    {
        events.Response("response.created", _current);
        if (_current.Status == ModelResponse.Queued)
            events.Response("response.queued", _current);
        else
            events.Response("response.in_progress", _current);
    }

    private void BecomesBusy(ResponseEventWriter events)
    {
        if (_current.Status != ModelResponse.Queued)
            return;
        _current = _current with { Status = ModelResponse.InProgress };
        events.Response("response.in_progress", _current);
    }

    private async Task EndAsync(ResponseEventWriter events, ModelResponse ended)
    {
        if (_dropped)
            return;
        // The terminal event is part of what is kept, and goes to readers only when it is: it is written apart and appended after.
        ResponseEventLog last = new();
        using (ResponseEventWriter apart = events.Apart(last))
            WriteEnd(apart, ended);
        byte[]? kept = ended.Background ? [.. Events!.ToArray(), .. last.ToArray()] : null;
        if (start.Store)
            await store.Responses.SaveAsync(StoredResponses.Write(Owner, ended, start.NewItems, start.Root, kept, start.Origin),
                [.. start.NewItems.Concat(ended.Output).Select(item => item.Id)], Append(ended));
        else if (Append(ended) is { } append)
            await store.Conversations.AppendAsync(Owner, append);
        _current = ended;
        Events?.Append(last.ToArray());
    }

    /// <summary>What somebody has seen is part of the conversation: of a turn that failed or was cancelled, if it said anything.</summary>
    private ConversationAppend? Append(ModelResponse ended)
    {
        if (Conversation is not { } conversation || (ended.Status is not (ModelResponse.Completed or ModelResponse.Incomplete) && ended.Output.All(item => item.Text().Length == 0)))
            return null;
        DateTimeOffset asked = DateTimeOffset.FromUnixTimeSeconds(ended.CreatedAt);
        List<NewItem> items =
        [
            .. start.NewItems.Select(item => StoredResponses.WriteItem(item) with { Created = asked }),
            .. ended.Output.Select(item => StoredResponses.WriteItem(item) with { Response = start.Store ? ended.Id : null }),
        ];
        items[0] = items[0] with { Parent = new ItemParent(start.Above) };
        return new ConversationAppend(conversation, items);
    }

    private static void WriteEnd(ResponseEventWriter events, ModelResponse ended)
    {
        if (ended.Status == ModelResponse.Cancelled)
            events.Error(new RequestProblem(ProblemKind.Invalid, "The response was cancelled.", code: "cancelled"));
        else
            events.Response($"response.{ended.Status}", ended);
    }

    private ModelResponse Whole(ResponseEncoder encoder)
    {
        ReplyEnd end = encoder.ReplyEnd!;
        string? why = end.Finish switch
        {
            ReplyFinish.Length => "max_output_tokens",
            ReplyFinish.ContentFilter => "content_filter",
            _ => null,
        };
        GenerationResult[] results = [end.Result];
        return _current with
        {
            Status = why is null ? ModelResponse.Completed : ModelResponse.Incomplete,
            CompletedAt = why is null ? clock.GetUtcNow().ToUnixTimeSeconds() : null,
            IncompleteDetails = why is null ? null : new IncompleteDetails(why),
            Output = [.. encoder.Output],
            Usage = ResponseUsage.Of(Usage.Of(results, 1, end.ReasoningTokens)),
            XCache = CacheUse.Of(start.Request.Call.ReportsCache, results),
            Timing = RequestTiming.Of(start.Request.Call.ReportsTiming, results, 1),
        };
    }

    private ModelResponse Unfinished(RequestProblem error, IReadOnlyList<ResponseItem> output) => _current with
    {
        Status = _cancelled ? ModelResponse.Cancelled : ModelResponse.Failed,
        Error = _cancelled ? null : new ResponseFailure("server_error", ErrorResponse.Explain(error, ResponseErrors.Names)),
        Output = [.. output],
    };

    [LoggerMessage(EventId = 140, Level = LogLevel.Error, Message = "Response {ResponseId} failed")]
    private static partial void LogFault(ILogger logger, string responseId, Exception error);
}
