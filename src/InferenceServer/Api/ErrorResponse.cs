using System.ComponentModel;
using System.Globalization;
using System.Text.Json;
using InferenceServer.Api.Anthropic;
using InferenceServer.Api.Ollama;
using InferenceServer.Api.OpenAI;

namespace InferenceServer.Api;

/// <summary>OpenAI's error body; all four keys are always there.</summary>
[Description("What went wrong. Every error of this server has this shape.")]
public sealed record ErrorResponse(ErrorBody Error)
{
    internal static ErrorResponse From(ApiException error) => new(new ErrorBody(error.Message, error.Type, error.Param, error.Code));
}

public sealed record ErrorBody(
    [property: Description("What is wrong and where, for people.")] string Message,
    [property: Description("The class of error.")] string Type,
    [property: Description("Path of the field to blame, or null.")] string? Param,
    [property: Description("A name for programs, or null.")] string? Code);

internal static class ErrorWriter
{
    /// <summary>Writes the error as the whole response. The response must not have started.</summary>
    public static async Task WriteAsync(HttpContext http, ApiException error)
    {
        HttpResponse response = http.Response;
        response.StatusCode = error.Status;
        if (error.RetryAfter is { } wait)
            response.Headers.RetryAfter = Math.Max(1, (long)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        if (error.QueuePosition is { } position)
        {
            response.Headers["X-Queue-Position"] = position.ToString(CultureInfo.InvariantCulture);
            TimeProvider clock = http.RequestServices.GetRequiredService<TimeProvider>();
            response.Headers["X-Queue-Estimated-Start"] = (clock.GetUtcNow() + error.RetryAfter.GetValueOrDefault()).ToString("R", CultureInfo.InvariantCulture);
        }
        if (error.Status == StatusCodes.Status401Unauthorized)
            response.Headers.WWWAuthenticate = "Bearer";
        byte[] body = AnthropicErrors.Speaks(http.Request) ? AnthropicErrors.Body(http, error)
            : OllamaErrors.Speaks(http.Request) ? OllamaErrors.Body(error)
            : JsonSerializer.SerializeToUtf8Bytes(ErrorResponse.From(error), OpenAIJson.Wire.ErrorResponse);
        response.ContentType = "application/json";
        response.ContentLength = body.Length;
        await response.Body.WriteAsync(body, http.RequestAborted);
    }
}
