using System.Text.Json.Serialization;
using InferenceServer.Api.Moderation;

namespace InferenceServer.Api.OpenAI;

/// <summary>What all endpoints of this dialect share.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(ErrorResponse))]
[JsonSerializable(typeof(Usage))]
[JsonSerializable(typeof(ModelList))]
[JsonSerializable(typeof(ModelDescription))]
[JsonSerializable(typeof(MetadataUpdate))]
[JsonSerializable(typeof(Deletion))]
[JsonSerializable(typeof(ChatModeration))]
internal sealed partial class OpenAIJson : JsonSerializerContext
{
    public static OpenAIJson Wire { get; } = new(WireJson.Options());
}
