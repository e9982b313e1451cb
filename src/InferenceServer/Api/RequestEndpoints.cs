using System.ComponentModel;
using System.Globalization;
using InferenceServer.Api.OpenAI;
using InferenceServer.Engine;
using InferenceServer.Operations;
using InferenceServer.Store;

namespace InferenceServer.Api;

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

/// <summary>GET /v1/requests.</summary>
internal sealed class RequestEndpoints(RecentRequests recent)
{
    private const int DefaultLimit = 20;

    public Task ListAsync(HttpContext http)
    {
        int limit = DefaultLimit;
        if (http.Request.Query["limit"].ToString() is { Length: > 0 } given
            && (!int.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out limit) || limit is < 1 or > RecentRequests.Kept))
            throw RequestProblem.Invalid($"{{where}} must be an integer from 1 to {RecentRequests.Kept}.", "limit", "out_of_range");
        List<RecentRequest> newest = [.. recent.Newest(StoreOwner.Of(http), limit).Select(request => Describe(request.Endpoint, request.Trace))];
        return JsonAnswer.WriteAsync(http, new RequestList("list", newest), ServerJson.Wire.RequestList);
    }

    private static RecentRequest Describe(string endpoint, RequestTrace trace)
    {
        // First: once it is there, the rest is whole.
        RequestEnd? end = trace.End;
        GenerationResult[]? results = trace.Results;
        RequestTiming? timing = results is null ? null : RequestTiming.Of(true, results, 1);
        return new RecentRequest(trace.Id, "request", trace.Arrived.ToUnixTimeMilliseconds() / 1e3, endpoint, end?.Status, end?.Outcome ?? "running", trace.Model, trace.Stream,
            trace.PromptTokens, trace.CachedTokens, trace.CompletionTokens, trace.QueuePosition, timing?.QueueMs, timing?.PrefillMs, timing?.DecodeMs,
            trace.FirstTokenSeconds is { } first ? Milliseconds(first) : null, Milliseconds(end?.Seconds ?? trace.ElapsedSeconds), results is null ? null : CacheUse.Of(true, results), trace.Preemptions);
    }

    private static double Milliseconds(double seconds) => Math.Round(seconds * 1000, 3);
}
