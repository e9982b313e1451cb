using System.Text.Json;

namespace InferenceServer.Api;

/// <summary>Texts that end a reply, as every dialect takes them: one, or an array of them.</summary>
internal static class StopReader
{
    // OpenAI takes 4; llama.cpp's users send more. Each one costs a comparison a character.
    private const int MaxStopStrings = 16;
    private const int MaxStopLength = 256;

    public static List<string> Read(JsonFields body, string name)
    {
        if (body.Take(name) is not { } value)
            return [];
        string path = body.PathOf(name);
        List<string> stops = value.ValueKind == JsonValueKind.String
            ? [Text(value, path)]
            : JsonFields.Items(value, path, 0, MaxStopStrings).ConvertAll(item => Text(item.Value, item.Path));
        // Forms with an empty field send it: it stops nothing.
        stops.RemoveAll(stop => stop.Length == 0);
        return stops;
    }

    /// <summary>One text of a list.</summary>
    public static string Text(JsonElement value, string path)
    {
        string text = JsonValue.String(value, path);
        return text.Length <= MaxStopLength
            ? text
            : throw RequestProblem.Invalid($"{{where}} may have at most {MaxStopLength} characters; it has {text.Length}.", path, "invalid_length");
    }
}
