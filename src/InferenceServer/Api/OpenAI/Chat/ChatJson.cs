using System.Text.Json.Serialization;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>What chats and stored completions send and take, and what the store holds. Requests are listed for the OpenAPI document; they are read by hand for better errors.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(ChatCompletionRequest))]
[JsonSerializable(typeof(ChatCompletion))]
[JsonSerializable(typeof(ChatCompletionChunk))]
[JsonSerializable(typeof(ChatCompletionList))]
[JsonSerializable(typeof(StoredMessageList))]
[JsonSerializable(typeof(IReadOnlyList<StoredMessage>))]
internal sealed partial class ChatJson : JsonSerializerContext
{
    public static ChatJson Wire { get; } = new(WireJson.Options());
}
