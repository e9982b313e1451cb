using System.Buffers;
using System.Text.Json;
using InferenceServer.Api.OpenAI;
using InferenceServer.Operations;

namespace InferenceServer.Api;

/// <summary>Errors as the clients of other dialects expect them, whether a route failed or the request never reached one.</summary>
internal static class DialectErrors
{
    public static byte[] Anthropic(HttpContext http, ApiException error) => Write(json =>
    {
        json.WriteString("type", "error");
        json.WriteStartObject("error");
        json.WriteString("type", error.Status switch
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
        });
        json.WriteString("message", error.Message);
        json.WriteEndObject();
        json.WriteString("request_id", RequestTrace.Of(http).Id);
    });

    public static byte[] Ollama(ApiException error) => Write(json => json.WriteString("error", error.Message));

    private static byte[] Write(Action<Utf8JsonWriter> members)
    {
        ArrayBufferWriter<byte> body = new();
        using Utf8JsonWriter json = new(body, new JsonWriterOptions { Encoder = OpenAIJson.Wire.Options.Encoder });
        json.WriteStartObject();
        members(json);
        json.WriteEndObject();
        json.Flush();
        return body.WrittenSpan.ToArray();
    }
}
