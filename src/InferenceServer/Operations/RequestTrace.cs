using InferenceServer.Api;
using InferenceServer.Engine;
using InferenceServer.Moderation;
using Microsoft.AspNetCore.Http.Features;

namespace InferenceServer.Operations;

/// <summary>What is known of one request, for its log line and the metrics. Belongs to the request's own task; times come from one monotonic clock.</summary>
/// <param name="metrics">Null for what is not counted.</param>
internal sealed class RequestTrace(string id, string? traceId, TimeProvider clock, ServerMetrics? metrics)
{
    private readonly long _started = clock.GetTimestamp();
    private readonly SortedSet<string> _flagged = new(StringComparer.Ordinal);
    private long[] _lastTokens = [];

    public string Id { get; } = id;

    /// <summary>The caller's, from <c>traceparent</c>; null when it sent none.</summary>
    public string? TraceId { get; } = traceId;

    public bool Stream { get; private set; }

    public int PromptTokens { get; private set; }

    public int CachedTokens { get; private set; }

    public int CompletionTokens { get; private set; }

    public double? FirstTokenSeconds { get; private set; }

    public ApiException? Error { get; private set; }

    public double ElapsedSeconds => clock.GetElapsedTime(_started).TotalSeconds;

    public static RequestTrace Of(HttpContext http) => http.Features.GetRequiredFeature<RequestTrace>();

    /// <summary>The request is well formed and goes to the engine.</summary>
    public void Accepted(bool stream, IReadOnlyList<GenerationRequest> requests)
    {
        Stream = stream;
        _lastTokens = new long[requests.Count];
        foreach (GenerationRequest request in requests)
            PromptTokens += request.PromptTokens.Length;
    }

    /// <summary>The request is well formed and its tokens go to an embedding model.</summary>
    public void Embeds(int tokens) => PromptTokens = tokens;

    /// <summary>A token of a choice reached the HTTP side.</summary>
    public void Token(int choice)
    {
        long now = clock.GetTimestamp();
        if (_lastTokens[choice] != 0)
            metrics?.InterToken.Observe(clock.GetElapsedTime(_lastTokens[choice], now).TotalSeconds);
        _lastTokens[choice] = now;
        CompletionTokens++;
        if (FirstTokenSeconds is not null)
            return;
        FirstTokenSeconds = clock.GetElapsedTime(_started, now).TotalSeconds;
        metrics?.TimeToFirstToken.Observe(FirstTokenSeconds.Value);
    }

    /// <summary>Every choice ended well: the engine's counts replace what was counted on the way.</summary>
    public void Finished(IReadOnlyList<GenerationResult> results)
    {
        CompletionTokens = 0;
        foreach (GenerationResult result in results)
        {
            CompletionTokens += result.CompletionTokens;
            CachedTokens += result.CachedTokens;
            metrics?.QueueTime.Observe(result.Timing.QueueSeconds);
        }
    }

    public void Failed(ApiException error) => Error = error;

    /// <summary>Categories that something of this request was flagged for.</summary>
    public IReadOnlyCollection<string> FlaggedCategories => _flagged;

    /// <summary>The moderation model could not judge a part of it.</summary>
    /// <param name="part">input or output.</param>
    public void Unjudged(string part) => metrics?.Moderation.Failed(part);

    /// <summary>Moderation judged a part of it.</summary>
    /// <param name="part">input or output.</param>
    public void Moderated(ModerationRules rules, ModerationVerdict verdict, string part, bool refused)
    {
        metrics?.Moderation.Judged(rules, verdict, part, refused ? "refused" : "reported");
        _flagged.UnionWith(rules.FlaggedCategories(verdict));
    }

    /// <summary>The label of the request counter.</summary>
    public string Outcome(HttpContext http) => (Error?.Status ?? http.Response.StatusCode) switch
    {
        _ when http.RequestAborted.IsCancellationRequested => "disconnected",
        StatusCodes.Status429TooManyRequests => "queue_full",
        StatusCodes.Status503ServiceUnavailable => "unavailable",
        StatusCodes.Status504GatewayTimeout => "deadline_exceeded",
        >= 500 => "server_error",
        >= 400 => "client_error",
        _ => "ok",
    };
}
