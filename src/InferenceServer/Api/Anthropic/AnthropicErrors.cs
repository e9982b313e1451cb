using System.Text.Json;
using System.Text.RegularExpressions;
using InferenceServer.Operations;

namespace InferenceServer.Api.Anthropic;

/// <summary>Errors in Anthropic's shape: a type by status, and a message that names fields as <c>messages.0.content.1</c>.</summary>
internal static partial class AnthropicErrors
{
    private const int Overloaded = 529;

    private static readonly FieldNames Names = new(("ReasoningEffort", "output_config.effort"), ("ReasoningBudget", "thinking.budget_tokens"));

    /// <summary>Whether the request is in this dialect: its own routes, and those it shares with OpenAI's when the client says which it means.</summary>
    public static bool Speaks(HttpRequest request) =>
        request.Path.StartsWithSegments("/v1/messages") || (request.Headers.ContainsKey("anthropic-version") && request.Path.StartsWithSegments("/v1/models"));

    public static ErrorShape Shape { get; } = new(Speaks, Names, Body) { Event = body => $"event: error\ndata: {body}\n\n" };

    private static byte[] Body(HttpContext http, RequestProblem problem)
    {
        if (!http.Response.HasStarted)
            StampId(http);
        // The dialect has a status of its own for a server that can take no more.
        if (problem.Kind == ProblemKind.Unavailable && !http.Response.HasStarted)
            http.Response.StatusCode = Overloaded;
        return JsonSerializer.SerializeToUtf8Bytes(Response(problem, RequestTrace.Of(http).Id), AnthropicJson.Wire.AnthropicErrorResponse);
    }

    /// <summary>The request's id where this dialect's clients look for it.</summary>
    public static void StampId(HttpContext http) => http.Response.Headers["request-id"] = RequestTrace.Of(http).Id;

    public static AnthropicErrorResponse Response(RequestProblem problem, string requestId) => new("error", new AnthropicErrorBody(TypeOf(problem.Kind), Explain(problem)), requestId);

    private static string TypeOf(ProblemKind kind) => kind switch
    {
        ProblemKind.Unauthorized => "authentication_error",
        ProblemKind.Forbidden => "permission_error",
        ProblemKind.NotFound => "not_found_error",
        ProblemKind.TooLarge => "request_too_large",
        ProblemKind.Busy => "rate_limit_error",
        ProblemKind.Unavailable => "overloaded_error",
        ProblemKind.DeadlineExceeded => "timeout_error",
        ProblemKind.Failed or ProblemKind.Unreachable or ProblemKind.NotBuilt or ProblemKind.StorageFull => "api_error",
        _ => "invalid_request_error",
    };

    private static string Explain(RequestProblem problem)
    {
        // The words that this dialect's agents look for before they shorten a conversation. One token is the reply's.
        if (problem.Overflow is { } overflow)
            return $"prompt is too long: {overflow.Tokens} tokens > {overflow.ContextLength - 1} maximum";
        if (Names.Of(problem.Where) is not { } where)
            return problem.Message;
        string name = IndexPattern().Replace(where, ".$1");
        string message = problem.MessageAt(name);
        return message.Contains(name, StringComparison.Ordinal) ? message : $"{name}: {message}";
    }

    [GeneratedRegex(@"\[(\d+)\]")]
    private static partial Regex IndexPattern();
}
