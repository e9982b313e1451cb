using System.Text;
using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Chat.Replies;

namespace InferenceServer.InProcess;

/// <summary>One reply's events as updates. A call is told once it is whole; one that was cut off is not, since nobody could make it.</summary>
internal sealed class ReplyUpdates(string model, DateTimeOffset created, TurnNotes notes, bool tellsReasoning)
{
    private readonly string _responseId = $"chatcmpl-{Guid.NewGuid():N}";
    private readonly string _messageId = $"msg_{Guid.NewGuid():N}";
    private readonly StringBuilder _arguments = new();
    private (string Name, string Id) _call;

    /// <summary>Null for an event that says nothing yet.</summary>
    public ChatResponseUpdate? Of(in ReplyEvent read) => read.End is { } end ? Last(end) : ContentOf(read.Delta) is { } content ? With(content) : null;

    private AIContent? ContentOf(in ReplyDelta delta)
    {
        switch (delta.Kind)
        {
            case ReplyDeltaKind.CallBegin:
                _call = (delta.Text, delta.Id!);
                _arguments.Clear();
                return null;
            case ReplyDeltaKind.CallArguments:
                _arguments.Append(delta.Text);
                return null;
            case ReplyDeltaKind.CallEnd:
                return FunctionCallContent.CreateFromParsedArguments(_arguments.ToString(), _call.Id, _call.Name, static json => JsonSerializer.Deserialize(json, MessageReader.ArgumentsType));
            case ReplyDeltaKind.Refusal:
                return new ErrorContent(delta.Text) { ErrorCode = "content_filter" };
            case ReplyDeltaKind.Reasoning:
                return tellsReasoning ? new TextReasoningContent(delta.Text) : null;
            default:
                return string.IsNullOrEmpty(delta.Text) ? null : new TextContent(delta.Text);
        }
    }

    private ChatResponseUpdate Last(ReplyEnd end)
    {
        ChatResponseUpdate last = With(new UsageContent(new UsageDetails
        {
            InputTokenCount = end.Result.PromptTokens,
            OutputTokenCount = end.Result.CompletionTokens,
            TotalTokenCount = end.Result.PromptTokens + end.Result.CompletionTokens,
            CachedInputTokenCount = end.Result.CachedTokens,
            ReasoningTokenCount = end.ReasoningTokens,
        }));
        last.FinishReason = end.Finish switch
        {
            ReplyFinish.ToolCalls => ChatFinishReason.ToolCalls,
            ReplyFinish.Length => ChatFinishReason.Length,
            ReplyFinish.ContentFilter => ChatFinishReason.ContentFilter,
            _ => ChatFinishReason.Stop,
        };
        last.AdditionalProperties = notes.ToProperties();
        return last;
    }

    private ChatResponseUpdate With(AIContent content) => new(Microsoft.Extensions.AI.ChatRole.Assistant, [content])
    {
        ResponseId = _responseId,
        MessageId = _messageId,
        CreatedAt = created,
        ModelId = model,
    };
}
