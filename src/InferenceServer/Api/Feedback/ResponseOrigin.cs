using System.Security.Cryptography;
using System.Text.Json;
using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Api.OpenAI.Responses;
using InferenceServer.Models;

namespace InferenceServer.Api.Feedback;

/// <summary>What of a response's making is kept beside it, so that feedback can say later what was asked of whom and how.</summary>
/// <param name="PromptHash">Of what the chat template was given. The messages themselves are in the store already; this tells whether they are still the same.</param>
internal sealed record ResponseOrigin(string Fingerprint, FeedbackSampling Sampling, string PromptHash)
{
    public static byte[] Write(ChatCompletionRequest chat, ModelResponse response, ServedModel model) => JsonSerializer.SerializeToUtf8Bytes(
        new ResponseOrigin(model.Fingerprint, FeedbackSampling.Of(chat), PromptIdentity.Of(chat.Messages, response.Tools).Hash()), FeedbackJson.Wire.ResponseOrigin);

    public static ResponseOrigin Read(byte[] stored) => JsonSerializer.Deserialize(stored, FeedbackJson.Wire.ResponseOrigin)!;
}

/// <summary>All that a chat template was given: two replies to the same of it answer the same prompt.</summary>
internal sealed record PromptIdentity(IReadOnlyList<FeedbackMessage> Messages, IReadOnlyList<ResponseTool> Tools)
{
    public static PromptIdentity Of(IEnumerable<ChatMessage> messages, IReadOnlyList<ResponseTool> tools) => new([.. messages.Select(FeedbackMessage.Of)], tools);

    public string Hash() => Convert.ToHexStringLower(SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes(this, FeedbackJson.Wire.PromptIdentity)));
}
