// The outermost application middleware: every failure, ours or the framework's, leaves in the error shape of its dialect, and no stack trace leaves at all.

using InferenceServer.Engine;
using InferenceServer.Operations;

namespace InferenceServer.Api;

internal sealed partial class ErrorMiddleware(RequestDelegate next, ILogger<ErrorMiddleware> log)
{
    public async Task InvokeAsync(HttpContext http)
    {
        try
        {
            await next(http);
            if (!http.Response.HasStarted && http.Response.StatusCode >= 400 && http.Response.ContentLength is null or 0)
                await ErrorWriter.WriteAsync(http, ForEmptyStatus(http));
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
        {
            // The client went away; there is nobody to answer.
        }
        catch (Exception error)
        {
            ApiException answer = Translate(http, error);
            RequestTrace.Of(http).Failed(answer);
            if (http.Response.HasStarted)
                http.Abort();
            else if (!http.RequestAborted.IsCancellationRequested)
                await AnswerAsync(http, answer);
        }
    }

    private static async Task AnswerAsync(HttpContext http, ApiException answer)
    {
        http.Response.Clear();
        await ErrorWriter.WriteAsync(http, answer);
    }

    private ApiException Translate(HttpContext http, Exception error)
    {
        switch (error)
        {
            case ApiException known:
                return known;
            case BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge }:
                return new ApiException(StatusCodes.Status413PayloadTooLarge, "The body is larger than this server accepts.",
                    ErrorTypes.InvalidRequest, code: "request_too_large");
            case BadHttpRequestException bad:
                return new ApiException(bad.StatusCode, $"The request could not be read: {bad.Message}", ErrorTypes.InvalidRequest);
            case EngineQueueFullException full:
                return new ApiException(StatusCodes.Status429TooManyRequests,
                    $"{full.QueuedRequests} requests are waiting already, as many as the queue holds. Retry after the time in Retry-After.",
                    ErrorTypes.RateLimit, code: "queue_full")
                { RetryAfter = full.RetryAfter, QueuePosition = full.QueuedRequests + 1 };
            case EngineUnavailableException unavailable:
                return new ApiException(StatusCodes.Status503ServiceUnavailable, unavailable.Message, ErrorTypes.Server, code: "unavailable");
            default:
                LogFault(log, RequestTrace.Of(http).Id, error);
                return new ApiException(StatusCodes.Status500InternalServerError,
                    "The server failed to handle this request; its log says why.", ErrorTypes.Server, code: "internal_error");
        }
    }

    /// <summary>What routing and the framework answer with a bare status.</summary>
    private static ApiException ForEmptyStatus(HttpContext http)
    {
        int status = http.Response.StatusCode;
        string method = http.Request.Method;
        string path = http.Request.Path;
        return status switch
        {
            StatusCodes.Status404NotFound => new(status, $"There is no {method} {path} here.", ErrorTypes.InvalidRequest, code: "unknown_url"),
            StatusCodes.Status405MethodNotAllowed => new(status,
                $"{method} is not allowed on {path}; allowed: {http.Response.Headers.Allow}.", ErrorTypes.InvalidRequest, code: "method_not_allowed"),
            StatusCodes.Status415UnsupportedMediaType => JsonBody.WrongContentType(http.Request),
            _ => new(status, $"The request failed with status {status}.", status >= 500 ? ErrorTypes.Server : ErrorTypes.InvalidRequest),
        };
    }

    [LoggerMessage(EventId = 100, Level = LogLevel.Error, Message = "Request {RequestId} failed")]
    private static partial void LogFault(ILogger logger, string requestId, Exception error);
}
