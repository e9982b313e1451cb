using System.Text.Encodings.Web;
using System.Text.Json;

namespace InferenceServer.Chat.Replies;

internal static class JsonWriting
{
    /// <summary>The inside of a JSON string.</summary>
    public static string Escape(ReadOnlySpan<char> text) => JsonEncodedText.Encode(text, JavaScriptEncoder.UnsafeRelaxedJsonEscaping).ToString();

    public static string Quote(ReadOnlySpan<char> text) => $"\"{Escape(text)}\"";

    /// <summary>The text of a JSON string; null when it is none, or no valid Unicode.</summary>
    public static string? Unquote(string json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return document.RootElement.ValueKind == JsonValueKind.String ? document.RootElement.GetString() : null;
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    public static bool IsJson(string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
