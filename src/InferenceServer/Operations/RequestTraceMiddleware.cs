using InferenceServer.Api;

namespace InferenceServer.Operations;

/// <summary>Gives every request an id, counts it, and writes its one log line: never a word of a prompt or a reply.</summary>
internal sealed partial class RequestTraceMiddleware(RequestDelegate next, ServerMetrics metrics, TimeProvider clock, ILogger<RequestTraceMiddleware> log)
{
    private const int MaxIdLength = 128;

    public async Task InvokeAsync(HttpContext http)
    {
        RequestTrace trace = new(RequestId(http.Request), clock, metrics);
        http.Features.Set(trace);
        trace.StampId(http);
        try
        {
            await next(http);
        }
        finally
        {
            string endpoint = (http.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "unmatched";
            string outcome = trace.Outcome(http);
            metrics.Request(endpoint, outcome, trace.ElapsedSeconds);
            LogRequest(log, trace.Id, http.Request.Method, endpoint, http.Response.StatusCode, outcome, trace.Stream, trace.PromptTokens,
                trace.CachedTokens, trace.CompletionTokens, trace.FirstTokenSeconds * 1e3, trace.ElapsedSeconds * 1e3, trace.Error?.Message);
        }
    }

    /// <summary>The client's own id when it can stand in a header and a log line; else a new one.</summary>
    private static string RequestId(HttpRequest request)
    {
        string? given = request.Headers["X-Request-Id"];
        return given is { Length: > 0 and <= MaxIdLength } && given.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')
            ? given
            : $"req_{Guid.NewGuid():N}";
    }

    [LoggerMessage(EventId = 110, Level = LogLevel.Information,
        Message = "{RequestId} {Method} {Endpoint} {Status} {Outcome} stream={Stream} prompt={PromptTokens} cached={CachedTokens} "
            + "completion={CompletionTokens} ttft_ms={TtftMs:0.0} total_ms={TotalMs:0.0} {Error}")]
    private static partial void LogRequest(ILogger logger, string requestId, string method, string endpoint, int status, string outcome, bool stream,
        int promptTokens, int cachedTokens, int completionTokens, double? ttftMs, double totalMs, string? error);
}
