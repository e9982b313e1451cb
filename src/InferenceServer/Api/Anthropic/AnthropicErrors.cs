using System.Text.Json;
using System.Text.RegularExpressions;
using InferenceServer.Operations;

namespace InferenceServer.Api.Anthropic;

/// <summary>Errors in Anthropic's shape: a type by status, and a message that names fields as <c>messages.0.content.1</c>.</summary>
internal static partial class AnthropicErrors
{
    private const int Overloaded = 529;

    /// <summary>Whether the request is in this dialect: its own routes, and those it shares with OpenAI's when the client says which it means.</summary>
    public static bool Speaks(HttpRequest request) =>
        request.Path.StartsWithSegments("/v1/messages") || (request.Headers.ContainsKey("anthropic-version") && request.Path.StartsWithSegments("/v1/models"));

    public static byte[] Body(HttpContext http, ApiException error)
    {
        StampId(http);
        // The dialect has a status of its own for a server that can take no more.
        if (error.Status == StatusCodes.Status503ServiceUnavailable)
            http.Response.StatusCode = Overloaded;
        return JsonSerializer.SerializeToUtf8Bytes(Response(error, RequestTrace.Of(http).Id), AnthropicJson.Wire.AnthropicErrorResponse);
    }

    /// <summary>The request's id where this dialect's clients look for it.</summary>
    public static void StampId(HttpContext http) => http.Response.Headers["request-id"] = RequestTrace.Of(http).Id;

    public static AnthropicErrorResponse Response(ApiException error, string requestId) => new("error", new AnthropicErrorBody(TypeOf(error.Status), Explain(error)), requestId);

    private static string TypeOf(int status) => status switch
    {
        StatusCodes.Status401Unauthorized => "authentication_error",
        StatusCodes.Status403Forbidden => "permission_error",
        StatusCodes.Status404NotFound => "not_found_error",
        StatusCodes.Status413PayloadTooLarge => "request_too_large",
        StatusCodes.Status429TooManyRequests => "rate_limit_error",
        StatusCodes.Status503ServiceUnavailable => "overloaded_error",
        StatusCodes.Status504GatewayTimeout => "timeout_error",
        >= 500 => "api_error",
        _ => "invalid_request_error",
    };

    private static string Explain(ApiException error)
    {
        if (error.Param is not { } param)
            return error.Message;
        string name = IndexPattern().Replace(OwnName(param), ".$1");
        string message = error.Message.Replace(param, name, StringComparison.Ordinal);
        return message.Contains(name, StringComparison.Ordinal) ? message : $"{name}: {message}";
    }

    /// <summary>Names of this dialect for fields of the chat request that it is translated into.</summary>
    private static string OwnName(string param) => param switch
    {
        "reasoning_effort" => "output_config.effort",
        "reasoning_budget" => "thinking.budget_tokens",
        "max_completion_tokens" => "max_tokens",
        "parallel_tool_calls" => "tool_choice.disable_parallel_tool_use",
        _ => param,
    };

    [GeneratedRegex(@"\[(\d+)\]")]
    private static partial Regex IndexPattern();
}
