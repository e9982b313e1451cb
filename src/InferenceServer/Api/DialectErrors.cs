using System.Buffers;
using System.Text.Json;
using InferenceServer.Api.OpenAI;

namespace InferenceServer.Api;

/// <summary>Errors as the clients of other dialects expect them, whether a route failed or the request never reached one.</summary>
internal static class DialectErrors
{
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
