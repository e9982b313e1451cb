using System.Text.Json;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>Problems under the names that fields have here.</summary>
internal static class ResponseErrors
{
    public static FieldNames Names { get; } = new(("Messages", "input"), ("ReasoningEffort", "reasoning.effort"));

    public static ErrorShape Shape { get; } = new(
        request => request.Path.StartsWithSegments("/v1/responses"), Names,
        (_, problem) => JsonSerializer.SerializeToUtf8Bytes(ErrorResponse.From(problem, Names), OpenAIJson.Wire.ErrorResponse));
}
