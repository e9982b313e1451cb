using System.ComponentModel;
using System.Globalization;
using InferenceServer.Api;
using InferenceServer.Api.OpenAI;
using InferenceServer.Store;

namespace InferenceServer.Operations;

/// <summary>The answer of GET /v1/requests.</summary>
public sealed record RequestList(string Object, IReadOnlyList<RecentRequest> Data);

/// <summary>One request to a model: how much and how long, never what was said.</summary>
public sealed record RecentRequest(
    [property: Description("Its x-request-id; of a response that is made in the background, the response's.")] string Id, string Object,
    [property: Description("Unix seconds, with fractions.")] double CreatedAt,
    string Endpoint,
    [property: Description("Of HTTP; null while it runs.")] int? Status,
    [property: Description("running, ok, cancelled, disconnected, queue_full, unavailable, deadline_exceeded, client_error or server_error.")] string Outcome,
    [property: Description("Null where it was refused before any was asked.")] string? Model,
    bool Stream, int PromptTokens, int CachedTokens,
    [property: Description("While it runs: so far.")] int CompletionTokens,
    [property: Description("While it waits for its first step: its place in the model's queue, 1 being next, as far as it can be foreseen. Else null.")] int? QueuePosition,
    [property: Description("From submission to the first step that worked on it; null unless it ended well. So are the next two and cache.")] double? QueueMs,
    [property: Description("From there to the first token.")] double? PrefillMs,
    [property: Description("From the first token to the end.")] double? DecodeMs,
    [property: Description("From arrival to the first token.")] double? FirstTokenMs,
    [property: Description("While it runs: so far.")] double TotalMs,
    CacheUse? Cache,
    [property: Description("How often it had to make room for others, and was resumed.")] int Preemptions);

/// <summary>Of a route whose requests are work for a model.</summary>
internal sealed class ModelRoute
{
    public static ModelRoute Marker { get; } = new();
}

/// <summary>Each key's latest requests to models, in memory only.</summary>
internal sealed class RecentRequests
{
    /// <summary>Of each key.</summary>
    public const int Kept = 256;
    private const int DefaultLimit = 20;

    // As many entries as the server has keys.
    private readonly Dictionary<string, Queue<(string Endpoint, RequestTrace Trace)>> _byOwner = [];
    private readonly Lock _gate = new();

    public void Begin(string owner, string endpoint, RequestTrace trace)
    {
        lock (_gate)
        {
            if (!_byOwner.TryGetValue(owner, out Queue<(string, RequestTrace)>? requests))
                _byOwner[owner] = requests = new(Kept);
            if (requests.Count == Kept)
                requests.Dequeue();
            requests.Enqueue((endpoint, trace));
        }
    }

    public Task ListAsync(HttpContext http)
    {
        int limit = DefaultLimit;
        if (http.Request.Query["limit"].ToString() is { Length: > 0 } given && (!int.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out limit) || limit is < 1 or > Kept))
            throw ApiException.InvalidValue($"'limit' must be an integer from 1 to {Kept}.", "limit", "out_of_range");
        (string Endpoint, RequestTrace Trace)[] requests;
        lock (_gate)
            requests = _byOwner.TryGetValue(StoreOwner.Of(http), out Queue<(string, RequestTrace)>? own) ? [.. own] : [];
        List<RecentRequest> newest = [.. requests.Reverse().Where(request => !request.Trace.IsPassedOn).Take(limit).Select(request => Describe(request.Endpoint, request.Trace))];
        return JsonAnswer.WriteAsync(http, new RequestList("list", newest), OpenAIJson.Wire.RequestList);
    }

    private static RecentRequest Describe(string endpoint, RequestTrace trace)
    {
        // First: once it is there, the rest is whole.
        RequestEnd? end = trace.End;
        return new RecentRequest(trace.Id, "request", trace.Arrived.ToUnixTimeMilliseconds() / 1e3, endpoint, end?.Status, end?.Outcome ?? "running", trace.Model, trace.Stream,
            trace.PromptTokens, trace.CachedTokens, trace.CompletionTokens, trace.QueuePosition, trace.Timing?.QueueMs, trace.Timing?.PrefillMs, trace.Timing?.DecodeMs,
            trace.FirstTokenSeconds is { } first ? Milliseconds(first) : null, Milliseconds(end?.Seconds ?? trace.ElapsedSeconds), trace.Cache, trace.Preemptions);
    }

    private static double Milliseconds(double seconds) => Math.Round(seconds * 1000, 3);
}

/// <summary>Puts requests to models among the recent ones of whoever asks. After the keys, since it has to know who that is.</summary>
internal sealed class RecentRequestsMiddleware(RequestDelegate next, RecentRequests recent, Readiness readiness)
{
    public Task InvokeAsync(HttpContext http)
    {
        if (http.GetEndpoint() is RouteEndpoint route && route.Metadata.GetMetadata<ModelRoute>() is not null && !readiness.IsOwn(http.Request))
            recent.Begin(StoreOwner.Of(http), route.RoutePattern.RawText!, RequestTrace.Of(http));
        return next(http);
    }
}
