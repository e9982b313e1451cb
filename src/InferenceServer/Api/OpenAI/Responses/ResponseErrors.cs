using System.Text.Json;
using System.Text.Json.Nodes;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>Problems under the names that fields have here.</summary>
internal static class ResponseErrors
{
    public static FieldNames Names { get; } = new(("Messages", "input"), ("ReasoningEffort", "reasoning.effort"));

    public static ErrorShape Shape { get; } = new(
        request => request.Path.StartsWithSegments("/v1/responses"), Names,
        (_, problem) => JsonSerializer.SerializeToUtf8Bytes(ErrorResponse.From(problem, Names), OpenAIJson.Wire.ErrorResponse))
    { Event = Event };

    /// <summary>The dialect's own event: the members of the error beside its type.</summary>
    private static string Event(string body)
    {
        JsonObject told = new() { ["type"] = "error" };
        JsonObject error = JsonNode.Parse(body)!["error"]!.AsObject();
        foreach (string member in (ReadOnlySpan<string>)["code", "message", "param"])
            told[member] = error[member]?.DeepClone();
        told["sequence_number"] = 0;
        return $"event: error\ndata: {told.ToJsonString()}\n\n";
    }
}
