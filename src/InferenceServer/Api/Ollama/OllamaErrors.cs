using System.Text.Json;

namespace InferenceServer.Api.Ollama;

/// <summary>Errors in Ollama's shape: one text, which names fields as this dialect does.</summary>
internal static class OllamaErrors
{
    public static bool Speaks(HttpRequest request) => request.Path.StartsWithSegments("/api");

    public static byte[] Body(ApiException error) => JsonSerializer.SerializeToUtf8Bytes(Response(error), OllamaJson.Wire.OllamaError);

    public static OllamaError Response(ApiException error)
    {
        // Of the chat request that this dialect is translated into.
        string message = error.Param == "reasoning_effort" ? error.Message.Replace("'reasoning_effort'", "'think'", StringComparison.Ordinal) : error.Message;
        return new(error.Param is { } param && param != "reasoning_effort" && !message.Contains(param, StringComparison.Ordinal) ? $"{param}: {message}" : message);
    }
}
