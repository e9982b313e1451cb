using System.Text;
using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Chat.Replies;

namespace InferenceServer.Api.Anthropic;

/// <summary>
/// The events of a streamed message: message_start, then for each block content_block_start, its deltas and content_block_stop, then message_delta and
/// message_stop. A ping follows the first block's start, and comes again when nothing else did for a while.
/// </summary>
internal sealed class MessageStreamEncoder(SseBuffer buffer, MessageHeader header, string requestId) : IReplyEncoder
{
    private enum Block
    {
        None,
        Text,
        Thinking,
        Call,
    }

    private readonly StringBuilder _thinking = new();
    private Block _open;
    private int _index = -1;

    public ReadOnlySpan<byte> KeepAlive => "event: ping\ndata: {\"type\":\"ping\"}\n\n"u8;

    public void Write(in ReplyEvent read)
    {
        if (read.Kind == ReplyEventKind.Begin)
            Begin();
        else if (read.Kind == ReplyEventKind.Delta)
            Delta(read.Delta);
        else
            Finish(read.End!);
    }

    private void Begin()
    {
        buffer.Raw("event: message_start\ndata: {\"type\":\"message_start\",\"message\":"u8);
        buffer.Json(MessageBuilder.Begin(header), AnthropicJson.Wire.Message);
        buffer.Raw("}\n\n"u8);
    }

    private void Delta(in ReplyDelta delta)
    {
        switch (delta.Kind)
        {
            case ReplyDeltaKind.Content or ReplyDeltaKind.Refusal when delta.Text.Length > 0:
                Open(Block.Text, new TextBlock(""));
                Send("text_delta\",\"text\":"u8, delta.Text);
                break;
            case ReplyDeltaKind.Reasoning:
                Open(Block.Thinking, new ThinkingBlock("", ""));
                if (header.OmitsThinking)
                    break;
                _thinking.Append(delta.Text);
                Send("thinking_delta\",\"thinking\":"u8, delta.Text);
                break;
            case ReplyDeltaKind.CallBegin:
                Close();
                Open(Block.Call, new ToolUseBlock(delta.Id!, delta.Text, NoArguments));
                break;
            case ReplyDeltaKind.CallArguments:
                Send("input_json_delta\",\"partial_json\":"u8, delta.Text);
                break;
            case ReplyDeltaKind.CallEnd:
                Close();
                break;
        }
    }

    private void Finish(ReplyEnd end)
    {
        Close();
        buffer.Raw("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"u8);
        buffer.JsonString(MessageBuilder.StopReason(end, header));
        buffer.Raw(",\"stop_sequence\":"u8);
        if (end.Result.StopString is { } stop)
            buffer.JsonString(stop);
        else
            buffer.Raw("null"u8);
        buffer.Raw(",\"stop_details\":null,\"container\":null},\"usage\":"u8);
        buffer.Json(MessageBuilder.Usage(end, header), AnthropicJson.Wire.MessageUsage);
        if (MessageBuilder.Timing(end, header) is { } timing)
        {
            buffer.Raw(",\"timing\":"u8);
            buffer.Json(timing, AnthropicJson.Wire.RequestTiming);
        }

        buffer.Raw("}\n\n"u8);
    }

    public void End(ReadOnlySpan<ReplyEnd> ends) => buffer.Raw("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"u8);

    public void Error(RequestProblem problem)
    {
        buffer.Raw("event: error\ndata: "u8);
        buffer.Json(AnthropicErrors.Response(problem, requestId), AnthropicJson.Wire.AnthropicErrorResponse);
        buffer.Raw("\n\n"u8);
    }

    private static System.Text.Json.JsonElement NoArguments { get; } = System.Text.Json.JsonDocument.Parse("{}").RootElement;

    private void Open(Block kind, ContentBlock empty)
    {
        if (_open == kind)
            return;
        Close();
        (_open, _index) = (kind, _index + 1);
        buffer.Raw("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":"u8);
        buffer.Number(_index);
        buffer.Raw(",\"content_block\":"u8);
        buffer.Json(empty, AnthropicJson.Wire.ContentBlock);
        buffer.Raw("}\n\n"u8);
        if (_index == 0)
            buffer.Raw(KeepAlive);
    }

    private void Close()
    {
        if (_open == Block.None)
            return;
        if (_open == Block.Thinking)
        {
            Send("signature_delta\",\"signature\":"u8, ThinkingSignature.Of(_thinking.ToString()));
            _thinking.Clear();
        }

        _open = Block.None;
        buffer.Raw("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":"u8);
        buffer.Number(_index);
        buffer.Raw("}\n\n"u8);
    }

    /// <param name="field">The delta's type and the name of the field that holds its text.</param>
    private void Send(ReadOnlySpan<byte> field, string text)
    {
        buffer.Raw("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"u8);
        buffer.Number(_index);
        buffer.Raw(",\"delta\":{\"type\":\""u8);
        buffer.Raw(field);
        buffer.JsonString(text);
        buffer.Raw("}}\n\n"u8);
    }
}
