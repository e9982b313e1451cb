using System.Text.Json;
using InferenceServer.Tests.Spec;

namespace InferenceServer.Tests.Api;

/// <summary>Takes a whole stream apart, strictly.</summary>
internal static class SseReader
{
    /// <summary>The JSON of every event before the closing [DONE], which must be there and last; each is checked against OpenAI's schema.</summary>
    public static List<JsonElement> Chunks(string stream)
    {
        string[] events = stream.Split("\n\n");
        Assert.Equal("", events[^1]);
        Assert.Equal("data: [DONE]", events[^2]);
        List<JsonElement> chunks = [.. events.SkipLast(2).Where(line => !line.StartsWith(':')).Select(Parse)];
        chunks.ForEach(OpenAISpec.CheckAnswer);
        return chunks;
    }

    public static JsonElement Parse(string line)
    {
        Assert.StartsWith("data: ", line, StringComparison.Ordinal);
        return JsonDocument.Parse(line[6..]).RootElement;
    }
}
