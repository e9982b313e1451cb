using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Api.Moderation;
using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Api.OpenAI.Completions;
using InferenceServer.Operations;

namespace InferenceServer.Api.OpenAI;

/// <summary>Everything that is serialized as JSON, without reflection. Requests are listed for the OpenAPI document; they are read by hand for better errors.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(ErrorResponse))]
[JsonSerializable(typeof(ChatCompletionRequest))]
[JsonSerializable(typeof(ChatCompletion))]
[JsonSerializable(typeof(ChatCompletionChunk))]
[JsonSerializable(typeof(CompletionRequest))]
[JsonSerializable(typeof(Completion))]
[JsonSerializable(typeof(CompletionChunk))]
[JsonSerializable(typeof(ModelList))]
[JsonSerializable(typeof(ModelDescription))]
[JsonSerializable(typeof(SessionList))]
[JsonSerializable(typeof(SessionDeletion))]
[JsonSerializable(typeof(MetadataUpdate))]
[JsonSerializable(typeof(Deletion))]
[JsonSerializable(typeof(ChatModeration))]
[JsonSerializable(typeof(CacheUse))]
[JsonSerializable(typeof(RequestTiming))]
[JsonSerializable(typeof(HealthReport))]
[JsonSerializable(typeof(RequestList))]
internal sealed partial class OpenAIJson : JsonSerializerContext
{
    /// <summary>As <see cref="Default"/>, with characters beyond ASCII and &lt; left as they are: this is JSON for programs, never embedded in HTML.</summary>
    public static OpenAIJson Wire { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
