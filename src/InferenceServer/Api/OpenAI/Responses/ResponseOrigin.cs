using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Chat;
using InferenceServer.Engine.Sampling;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>What of a response's making is kept beside it, so that feedback can say later what was asked of whom and how.</summary>
/// <param name="PromptHash">Of what the chat template was given. The messages themselves are in the store already; this tells whether they are still the same.</param>
internal sealed record ResponseOrigin(string Fingerprint, PromptSampling Sampling, string PromptHash)
{
    public static byte[] Write(ChatRequest chat, ModelResponse response, ServedModel model) => JsonSerializer.SerializeToUtf8Bytes(
        new ResponseOrigin(model.Fingerprint, PromptSampling.Of(chat.Options), PromptIdentity.Of(chat.Messages, response.Tools).Hash()), ResponsesJson.Wire.ResponseOrigin);

    public static ResponseOrigin Read(byte[] stored) => JsonSerializer.Deserialize(stored, ResponsesJson.Wire.ResponseOrigin)!;
}

/// <summary>All that a chat template was given: two replies to the same of it answer the same prompt.</summary>
internal sealed record PromptIdentity(IReadOnlyList<PromptMessage> Messages, IReadOnlyList<ResponseTool> Tools)
{
    public static PromptIdentity Of(IEnumerable<ChatMessage> messages, IReadOnlyList<ResponseTool> tools) => new([.. messages.Select(PromptMessage.Of)], tools);

    public string Hash() => Convert.ToHexStringLower(SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes(this, ResponsesJson.Wire.PromptIdentity)));
}

/// <summary>A message of a prompt.</summary>
[SchemaName("FeedbackMessage")]
public sealed record PromptMessage(string Role, string? Content)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ReasoningContent { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<ChatCompletionToolCall>? ToolCalls { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ToolCallId { get; init; }

    internal static PromptMessage Of(ChatMessage message) =>
        new(message.Role.Name(), message.Text)
        {
            ReasoningContent = message.Reasoning,
            ToolCalls = message.ToolCalls?.Select(call => ChatCompletionToolCall.Of(call)).ToList(),
            ToolCallId = message.ToolCallId,
        };
}

/// <summary>How tokens were drawn, with the names of POST /v1/responses.</summary>
[SchemaName("FeedbackSampling")]
public sealed record PromptSampling(
    float Temperature, float TopP, int TopK, float MinP, float TypicalP, float PresencePenalty, float FrequencyPenalty, float RepetitionPenalty, long? Seed, int? MaxOutputTokens)
{
    internal static PromptSampling Of(GenerationOptions options)
    {
        SamplingOptions sampling = options.Sampling;
        return new(sampling.Temperature, sampling.TopP, sampling.TopK, sampling.MinP, sampling.TypicalP,
            sampling.PresencePenalty, sampling.FrequencyPenalty, sampling.RepetitionPenalty, options.Seed, options.MaxOutputTokens);
    }
}
