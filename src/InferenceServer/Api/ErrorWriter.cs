using System.Globalization;
using System.Text;

namespace InferenceServer.Api;

/// <summary>How a dialect writes a problem as a whole answer, under its own names of fields.</summary>
/// <param name="Speaks">Whether a request is in this dialect.</param>
/// <param name="Names">What the dialect calls fields.</param>
/// <param name="Body">The answer's body; may change what the answer's head says.</param>
internal sealed record ErrorShape(Func<HttpRequest, bool> Speaks, FieldNames Names, Func<HttpContext, RequestProblem, byte[]> Body)
{
    /// <summary>From such a body to what a stream says that has begun.</summary>
    public Func<string, string> Event { get; init; } = body => $"data: {body}\n\n";
}

/// <summary>Writes problems in the dialect of the request.</summary>
internal static class ErrorWriter
{
    /// <summary>The status that HTTP has for a kind of problem.</summary>
    public static int StatusOf(ProblemKind kind) => kind switch
    {
        ProblemKind.Unauthorized => StatusCodes.Status401Unauthorized,
        ProblemKind.Forbidden => StatusCodes.Status403Forbidden,
        ProblemKind.NotFound => StatusCodes.Status404NotFound,
        ProblemKind.NotAllowed => StatusCodes.Status405MethodNotAllowed,
        ProblemKind.TooLarge => StatusCodes.Status413PayloadTooLarge,
        ProblemKind.UnknownForm => StatusCodes.Status415UnsupportedMediaType,
        ProblemKind.Conflict => StatusCodes.Status422UnprocessableEntity,
        ProblemKind.Busy => StatusCodes.Status429TooManyRequests,
        ProblemKind.Failed => StatusCodes.Status500InternalServerError,
        ProblemKind.NotBuilt => StatusCodes.Status501NotImplemented,
        ProblemKind.Unavailable => StatusCodes.Status503ServiceUnavailable,
        ProblemKind.Unreachable => StatusCodes.Status502BadGateway,
        ProblemKind.DeadlineExceeded => StatusCodes.Status504GatewayTimeout,
        ProblemKind.StorageFull => StatusCodes.Status507InsufficientStorage,
        _ => StatusCodes.Status400BadRequest,
    };

    /// <summary>The problem's message as the request's dialect names fields: what the log says.</summary>
    public static string Explain(HttpRequest request, RequestProblem problem) => problem.MessageAt(ShapeOf(request).Names.Of(problem.Where));

    private static ErrorShape ShapeOf(HttpRequest request) => Array.Find(ApiRoutes.ErrorShapes, shape => shape.Speaks(request))!;

    /// <summary>Writes the problem as the last event of a stream that has begun.</summary>
    public static async Task WriteEventAsync(HttpContext http, RequestProblem problem)
    {
        ErrorShape shape = ShapeOf(http.Request);
        await http.Response.WriteAsync(shape.Event(Encoding.UTF8.GetString(shape.Body(http, problem))), http.RequestAborted);
    }

    /// <summary>Writes the problem as the whole response. The response must not have started.</summary>
    /// <param name="status">Where HTTP itself has one that says more; null takes the kind's.</param>
    public static async Task WriteAsync(HttpContext http, RequestProblem problem, int? status)
    {
        HttpResponse response = http.Response;
        response.StatusCode = status ?? StatusOf(problem.Kind);
        if (problem.RetryAfter is { } wait)
            response.Headers.RetryAfter = Math.Max(1, (long)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        if (problem.QueuePosition is { } position)
        {
            response.Headers["X-Queue-Position"] = position.ToString(CultureInfo.InvariantCulture);
            TimeProvider clock = http.RequestServices.GetRequiredService<TimeProvider>();
            response.Headers["X-Queue-Estimated-Start"] = (clock.GetUtcNow() + problem.RetryAfter.GetValueOrDefault()).ToString("R", CultureInfo.InvariantCulture);
        }

        if (problem.Kind == ProblemKind.Unauthorized)
            response.Headers.WWWAuthenticate = "Bearer";
        byte[] body = ShapeOf(http.Request).Body(http, problem);
        response.ContentType = "application/json";
        response.ContentLength = body.Length;
        await response.Body.WriteAsync(body, http.RequestAborted);
    }
}
