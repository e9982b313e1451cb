using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Engine;

namespace InferenceServer.Api.Anthropic;

/// <summary>What is known of a message before its first token.</summary>
/// <param name="PromptTokens">All of them, cached or not.</param>
/// <param name="MaxTokens">As the request has it.</param>
/// <param name="OmitsThinking">Thinking blocks are left empty.</param>
/// <param name="ReportsTiming">Say where the time went.</param>
internal sealed record MessageHeader(string Id, string Model, string ServiceTier, int PromptTokens, int MaxTokens, bool OmitsThinking, bool ReportsTiming);

/// <summary>A reply as this dialect's message.</summary>
internal static class MessageBuilder
{
    public static Message Begin(MessageHeader header) =>
        new(header.Id, "message", "assistant", header.Model, [], null, null, new MessageUsage(header.PromptTokens, 0, 0, 0, header.ServiceTier));

    public static Message Whole(MessageHeader header, WholeReply reply)
    {
        List<ContentBlock> blocks = [];
        if (reply.Reasoning is { } thinking)
            blocks.Add(Thinking(header.OmitsThinking ? "" : thinking));
        if ((reply.Text ?? reply.Refusal) is { Length: > 0 } text)
            blocks.Add(new TextBlock(text));
        foreach (ChatToolCall call in reply.ToolCalls)
            if (Arguments(call) is { } input)
                blocks.Add(new ToolUseBlock(call.Id, call.Name, input));
        return Begin(header) with
        {
            Content = blocks,
            StopReason = StopReason(reply.End, header),
            StopSequence = reply.End.Result.StopString,
            Usage = Usage(reply.End, header),
            Timing = Timing(reply.End, header),
        };
    }

    public static string StopReason(ReplyEnd end, MessageHeader header) => end switch
    {
        { Finish: ReplyFinish.ToolCalls } => "tool_use",
        { Finish: ReplyFinish.ContentFilter } => "refusal",
        { Result.StopString: not null } => "stop_sequence",
        { Finish: ReplyFinish.Stop } => "end_turn",
        { Result: { FinishReason: FinishReason.Length } result } when result.CompletionTokens < header.MaxTokens => "model_context_window_exceeded",
        _ => "max_tokens",
    };

    /// <summary>This dialect counts what came from a cache beside the input, not within it.</summary>
    public static MessageUsage Usage(ReplyEnd end, MessageHeader header)
    {
        GenerationResult result = end.Result;
        return new(result.PromptTokens - result.CachedTokens, 0, result.CachedTokens, result.CompletionTokens, header.ServiceTier)
        {
            OutputTokensDetails = new OutputTokensDetails(end.ReasoningTokens),
        };
    }

    public static RequestTiming? Timing(ReplyEnd end, MessageHeader header) => RequestTiming.Of(header.ReportsTiming, [end.Result], 1);

    public static ThinkingBlock Thinking(string thinking) => new(thinking, ThinkingSignature.Of(thinking));

    /// <summary>Null for a call whose arguments were cut off with the reply: run with what is there of them it would do something else than was meant.</summary>
    private static JsonElement? Arguments(ChatToolCall call)
    {
        try
        {
            return JsonDocument.Parse(call.Arguments).RootElement;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
