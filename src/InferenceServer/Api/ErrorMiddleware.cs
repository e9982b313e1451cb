// The outermost application middleware: every failure, ours or the framework's, leaves in the error shape of its dialect, and no stack trace leaves at all.

using InferenceServer.Api.Library;
using InferenceServer.Api.Streaming;
using InferenceServer.Engine;
using InferenceServer.Library;
using InferenceServer.Operations;
using Microsoft.AspNetCore.Connections;

namespace InferenceServer.Api;

internal sealed partial class ErrorMiddleware(RequestDelegate next, ILogger<ErrorMiddleware> log)
{
    public async Task InvokeAsync(HttpContext http)
    {
        try
        {
            await next(http);
            if (!http.Response.HasStarted && http.Response.StatusCode >= 400 && http.Response.ContentLength is null or 0)
                await ErrorWriter.WriteAsync(http, ForEmptyStatus(http), http.Response.StatusCode);
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
        {
            // The client went away; there is nobody to answer.
        }
        catch (Exception error) when (IsOfClientThatWent(error))
        {
            RequestTrace.Of(http).ClientWent();
            http.Abort();
        }
        catch (Exception error)
        {
            RequestProblem answer = Translate(http, error);
            RequestTrace.Of(http).Failed(answer, ErrorWriter.Explain(http.Request, answer));
            if (http.RequestAborted.IsCancellationRequested)
                return;
            // A stream that has shown nothing but signs of life still ends in an error that its client can read.
            if (http.Response.HasStarted && http.Items.ContainsKey(LoadSigns.Shown))
                await ErrorWriter.WriteEventAsync(http, answer);
            else if (http.Response.HasStarted)
                http.Abort();
            else
                await AnswerAsync(http, answer, error is BadHttpRequestException bad ? bad.StatusCode : null);
        }
    }

    // The connection broke while the body was read; Kestrel tells a body that ended too early apart from other malformed ones by its message only.
    private static bool IsOfClientThatWent(Exception error) =>
        error is ConnectionResetException or ConnectionAbortedException or BadHttpRequestException { Message: "Unexpected end of request content." };

    private static async Task AnswerAsync(HttpContext http, RequestProblem answer, int? status)
    {
        http.Response.Clear();
        await ErrorWriter.WriteAsync(http, answer, status);
    }

    private RequestProblem Translate(HttpContext http, Exception error)
    {
        switch (error)
        {
            case RequestProblem known:
                return known;
            case BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge }:
                return new RequestProblem(ProblemKind.TooLarge, "The body is larger than this server accepts.", code: "request_too_large");
            case BadHttpRequestException bad:
                return new RequestProblem(ProblemKind.Invalid, $"The request could not be read: {bad.Message}");
            case EngineQueueFullException full:
                return new RequestProblem(ProblemKind.Busy,
                    $"{full.QueuedRequests} requests are waiting already, as many as the queue holds. Retry after the time in Retry-After.", code: "queue_full")
                { RetryAfter = full.RetryAfter, QueuePosition = full.QueuedRequests + 1 };
            case LibraryException library:
                return LibraryAccess.ProblemOf(library);
            case EngineUnavailableException unavailable:
                return new RequestProblem(ProblemKind.Unavailable, unavailable.Message, code: "unavailable");
            default:
                LogFault(log, RequestTrace.Of(http).Id, error);
                return Fault();
        }
    }

    /// <summary>What routing and the framework answer with a bare status.</summary>
    private static RequestProblem ForEmptyStatus(HttpContext http)
    {
        int status = http.Response.StatusCode;
        string method = http.Request.Method;
        string path = http.Request.Path;
        return status switch
        {
            StatusCodes.Status404NotFound => new(ProblemKind.NotFound, $"There is no {method} {path} here.", code: "unknown_url"),
            StatusCodes.Status405MethodNotAllowed => new(ProblemKind.NotAllowed,
                $"{method} is not allowed on {path}; allowed: {http.Response.Headers.Allow}.", code: "method_not_allowed"),
            StatusCodes.Status415UnsupportedMediaType => JsonBody.WrongContentType(http.Request),
            _ => new(status >= 500 ? ProblemKind.Failed : ProblemKind.Invalid, $"The request failed with status {status}."),
        };
    }

    /// <summary>What is told of a fault of ours, whose cause only the log says.</summary>
    public static RequestProblem Fault() => new(ProblemKind.Failed, "The server failed to handle this request; its log says why.", code: "internal_error");

    [LoggerMessage(EventId = 100, Level = LogLevel.Error, Message = "Request {RequestId} failed")]
    private static partial void LogFault(ILogger logger, string requestId, Exception error);
}
