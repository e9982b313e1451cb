using System.Text.Json.Serialization;
using InferenceServer.Api.OpenAI.Conversations;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>What the endpoints of responses and conversations send, and what the store holds of them.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(ResponseRequest))]
[JsonSerializable(typeof(ModelResponse))]
[JsonSerializable(typeof(ResponseStreamEvent))]
[JsonSerializable(typeof(ResponseItemList))]
[JsonSerializable(typeof(IReadOnlyList<ResponseItem>))]
[JsonSerializable(typeof(ResponseOrigin))]
[JsonSerializable(typeof(string))]
[JsonSerializable(typeof(IReadOnlyList<ResponseMcpTool>))]
[JsonSerializable(typeof(ResponseMcpError))]
[JsonSerializable(typeof(PromptIdentity))]
[JsonSerializable(typeof(ResponseInputTokenCount))]
[JsonSerializable(typeof(CompactedResponse))]
[JsonSerializable(typeof(Conversation))]
[JsonSerializable(typeof(ConversationList))]
[JsonSerializable(typeof(ConversationItem))]
[JsonSerializable(typeof(ConversationItemList))]
[JsonSerializable(typeof(ConversationRequest))]
[JsonSerializable(typeof(ConversationItemsRequest))]
internal sealed partial class ResponsesJson : JsonSerializerContext
{
    public static ResponsesJson Wire { get; } = new(WireJson.Options());
}
