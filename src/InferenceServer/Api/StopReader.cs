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
        if (value.ValueKind == JsonValueKind.String)
            return [StopString(value, path)];
        return JsonFields.Items(value, path, 0, MaxStopStrings).ConvertAll(item => StopString(item.Value, item.Path));
    }

    private static string StopString(JsonElement value, string path)
    {
        string text = JsonValue.String(value, path);
        return text.Length is > 0 and <= MaxStopLength
            ? text
            : throw RequestProblem.Invalid($"{{where}} must have 1 to {MaxStopLength} characters; it has {text.Length}.", path, "invalid_length");
    }
}
