using System.Text.Json.Serialization;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>What completions send. The request is listed for the OpenAPI document; it is read by hand for better errors.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(CompletionRequest))]
[JsonSerializable(typeof(Completion))]
[JsonSerializable(typeof(CompletionChunk))]
internal sealed partial class CompletionJson : JsonSerializerContext
{
    public static CompletionJson Wire { get; } = new(WireJson.Options());
}
