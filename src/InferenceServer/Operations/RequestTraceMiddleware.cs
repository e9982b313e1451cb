using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace InferenceServer.Operations;

/// <summary>Of a route that a page asks again and again: what went well there is not worth a line each time.</summary>
internal sealed class QuietRoute
{
    public static QuietRoute Marker { get; } = new();
}

/// <summary>Gives every request an id, counts it, and writes its one log line: never a word of a prompt or a reply.</summary>
internal sealed partial class RequestTraceMiddleware(RequestDelegate next, ServerMetrics metrics, Readiness readiness, TimeProvider clock, ILogger<RequestTraceMiddleware> log)
{
    private const int MaxIdLength = 128;

    private static readonly Func<ILogger, string, string, IDisposable?> CallersTrace = LoggerMessage.DefineScope<string, string>("TraceId:{TraceId} RequestId:{RequestId}");

    public async Task InvokeAsync(HttpContext http)
    {
        bool isOwn = readiness.IsOwn(http.Request);
        RequestTrace trace = new(RequestId(http.Request), TraceId(http.Request), clock, isOwn ? null : metrics);
        http.Features.Set(trace);
        // At the last moment: an error clears what was set before.
        http.Response.OnStarting(static state => StampAsync((HttpContext)state), http);
        using IDisposable? scope = trace.TraceId is { } traceId ? CallersTrace(log, traceId, trace.Id) : null;
        try
        {
            await next(http);
        }
        finally
        {
            if (!isOwn)
                Record(http, trace);
        }
    }

    private void Record(HttpContext http, RequestTrace trace)
    {
        string endpoint = (http.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "unmatched";
        string outcome = trace.Outcome(http);
        metrics.Request(endpoint, outcome, trace.ElapsedSeconds);
        metrics.Conventional.Record(http.Request.Method, endpoint, http.Response.StatusCode, outcome, trace);
        trace.Ended(http.Response.StatusCode, outcome);
        LogLevel level = outcome == "ok" && http.GetEndpoint()?.Metadata.GetMetadata<QuietRoute>() is not null ? LogLevel.Debug : LogLevel.Information;
        if (!log.IsEnabled(level))
            return;
        string line = Line(http, endpoint, trace, outcome);
        LogRequest(log, level, line);
    }

    /// <summary>What there is to say of it, and no more.</summary>
    private static string Line(HttpContext http, string endpoint, RequestTrace trace, string outcome)
    {
        StringBuilder line = new();
        line.Append(CultureInfo.InvariantCulture, $"{trace.Id} {http.Request.Method} {endpoint} {http.Response.StatusCode} {outcome}");
        if (trace.Stream)
            line.Append(" stream");
        if (trace.PromptTokens > 0)
            line.Append(CultureInfo.InvariantCulture, $" prompt={trace.PromptTokens}");
        if (trace.CachedTokens > 0)
            line.Append(CultureInfo.InvariantCulture, $" cached={trace.CachedTokens}");
        if (trace.CompletionTokens > 0)
            line.Append(CultureInfo.InvariantCulture, $" completion={trace.CompletionTokens}");
        if (trace.FirstTokenSeconds is { } first)
            line.Append(CultureInfo.InvariantCulture, $" ttft_ms={first * 1e3:0.0}");
        line.Append(CultureInfo.InvariantCulture, $" total_ms={trace.ElapsedSeconds * 1e3:0.0}");
        if (trace.TraceId is { } caller)
            line.Append(CultureInfo.InvariantCulture, $" trace={caller}");
        if (trace.ErrorMessage is { } error)
            line.Append(CultureInfo.InvariantCulture, $": {error}");
        return line.ToString();
    }

    private static Task StampAsync(HttpContext http)
    {
        IHeaderDictionary headers = http.Response.Headers;
        RequestTrace trace = RequestTrace.Of(http);
        headers["x-request-id"] = trace.Id;
        if (trace.FlaggedCategories.Count > 0)
            headers["x-moderation"] = string.Join(", ", trace.FlaggedCategories);
        // What users and models wrote is never a script, and our page is framed by nobody.
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        if (http.Response.ContentType?.StartsWith("text/html", StringComparison.OrdinalIgnoreCase) == true)
            headers.XFrameOptions = "DENY";
        return Task.CompletedTask;
    }

    /// <summary>The trace that the caller's request belongs to, in W3C's form; null without one or with a malformed one, which that standard says to ignore.</summary>
    private static string? TraceId(HttpRequest request) =>
        request.Headers.TraceParent is [{ } parent] && ActivityContext.TryParse(parent, null, out ActivityContext context) ? context.TraceId.ToHexString() : null;

    /// <summary>The client's own id when it can stand in a header and a log line; else a new one.</summary>
    private static string RequestId(HttpRequest request)
    {
        string? given = request.Headers["X-Request-Id"];
        return given is { Length: > 0 and <= MaxIdLength } && given.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')
            ? given
            : $"req_{Guid.NewGuid():N}";
    }

    [LoggerMessage(EventId = 110, Message = "{Line}")]
    private static partial void LogRequest(ILogger logger, LogLevel level, string line);
}
