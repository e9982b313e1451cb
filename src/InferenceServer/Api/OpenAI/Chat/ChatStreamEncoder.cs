using System.Text;
using InferenceServer.Api.Moderation;
using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>What is the same in every chunk and in the whole reply.</summary>
internal sealed record ChatHeader(string Id, long Created, string Model, string ServiceTier, string Fingerprint);

/// <summary>
/// Chat completion chunks as OpenAI sends them. All bytes around a delta are prepared once a stream: a token costs two copies and one escaped string.
/// </summary>
internal sealed class ChatStreamEncoder : IReplyEncoder
{
    private readonly SseBuffer _buffer;
    private readonly ChatTurn _turn;
    private readonly ChatCall _call;
    private readonly OpenAIStreamFrame _frame;
    private readonly byte[][] _contentHeads;
    private readonly byte[][] _reasoningHeads;
    private readonly byte[][] _callHeads;

    // Arguments of the custom call that each choice is in: JSON in pieces, whose text is the input once it is whole.
    private readonly (int Call, StringBuilder Arguments)?[] _customCalls;

    public ChatStreamEncoder(SseBuffer buffer, ChatHeader header, ChatTurn turn, ChatCall call)
    {
        (_buffer, _turn, _call) = (buffer, turn, call);
        int choices = turn.Requests.Count;
        _customCalls = new (int, StringBuilder)?[choices];
        string head = $"data: {{\"id\":{SseBuffer.Quote(header.Id)},\"object\":\"chat.completion.chunk\",\"created\":{header.Created},\"model\":{SseBuffer.Quote(header.Model)},"
            + $"\"service_tier\":{SseBuffer.Quote(header.ServiceTier)},\"system_fingerprint\":{SseBuffer.Quote(header.Fingerprint)},\"choices\":[";
        _frame = new OpenAIStreamFrame(buffer, Encoding.UTF8.GetBytes(head), choices, call.Options);
        byte[][] Heads(string field) =>
            [.. Enumerable.Range(0, choices).Select(choice => Encoding.UTF8.GetBytes($"{head}{{\"index\":{choice},\"delta\":{{\"{field}\":"))];
        (_contentHeads, _reasoningHeads, _callHeads) = (Heads("content"), Heads("reasoning_content"), Heads(call.AnswersFunctionCall ? "function_call" : "tool_calls"));
    }

    public void Write(in ReplyEvent read)
    {
        if (read.Kind == ReplyEventKind.Begin)
            Begin(read.Choice);
        else if (read.Kind == ReplyEventKind.Delta)
            Delta(read.Choice, read.Resumes ? read.Delta with { Text = read.JoinedText } : read.Delta, read.Logprobs);
        else if (read.Hosted is { } call)
            Hosted(read.Choice, call);
        else
            Finish(read.Choice, read.End!);
    }

    private void Begin(int choice)
    {
        OpenChoice(choice);
        _buffer.Raw("\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}]"u8);
        _frame.Close();
    }

    private void Delta(int choice, in ReplyDelta delta, TokenLogprobs? logprobs)
    {
        bool isCustom = delta.Kind == ReplyDeltaKind.CallBegin ? _call.CustomTools.Contains(delta.Text) : delta.Call >= 0 && _customCalls[choice] is not null;
        string text = isCustom ? CustomText(choice, delta) : delta.Text;
        switch (delta.Kind)
        {
            case ReplyDeltaKind.Content:
                _buffer.Raw(_contentHeads[choice]);
                _buffer.JsonString(delta.Text);
                break;
            case ReplyDeltaKind.Reasoning:
                _buffer.Raw(_reasoningHeads[choice]);
                _buffer.JsonString(delta.Text);
                break;
            case ReplyDeltaKind.Refusal:
                OpenChoice(choice);
                _buffer.Raw("\"delta\":{\"refusal\":"u8);
                _buffer.JsonString(delta.Text);
                break;
            case ReplyDeltaKind.CallArguments or ReplyDeltaKind.CallEnd when logprobs is null && text.Length == 0:
                return;
            default:
                _buffer.Raw(_callHeads[choice]);
                Call(delta, text, isCustom);
                break;
        }

        if (logprobs is null)
        {
            _buffer.Raw("},\"logprobs\":null,\"finish_reason\":null}]"u8);
        }
        else
        {
            _buffer.Raw("},\"logprobs\":"u8);
            _buffer.Json(new ChatLogprobs([ReportedLogprob.Of(_turn.Model.Vocabulary, logprobs)], null), ChatJson.Wire.ChatLogprobs);
            _buffer.Raw(",\"finish_reason\":null}]"u8);
        }

        _frame.Close();
    }

    private void Hosted(int choice, HostedCall call)
    {
        OpenChoice(choice);
        _buffer.Raw("\"delta\":{\"mcp_calls\":["u8);
        _buffer.Json(ChatMcpCall.Of(call), ChatJson.Wire.ChatMcpCall);
        _buffer.Raw("]},\"logprobs\":null,\"finish_reason\":null}]"u8);
        _frame.Close();
    }

    /// <summary>What to send of a custom call: nothing of its arguments until they are whole, then the input.</summary>
    private string CustomText(int choice, in ReplyDelta delta)
    {
        if (delta.Kind == ReplyDeltaKind.CallBegin)
        {
            _customCalls[choice] = (delta.Call, new StringBuilder());
            return delta.Text;
        }

        StringBuilder arguments = _customCalls[choice]!.Value.Arguments.Append(delta.Text);
        if (delta.Kind == ReplyDeltaKind.CallArguments)
            return "";
        _customCalls[choice] = null;
        return ToolReader.CustomInput(arguments.ToString());
    }

    private void Call(in ReplyDelta delta, string text, bool isCustom)
    {
        if (_call.AnswersFunctionCall)
        {
            bool begins = delta.Kind == ReplyDeltaKind.CallBegin;
            _buffer.Raw(begins ? "{\"name\":"u8 : "{\"arguments\":"u8);
            _buffer.JsonString(delta.Text);
            _buffer.Raw(begins ? ",\"arguments\":\"\"}"u8 : "}"u8);
            return;
        }

        _buffer.Raw("[{\"index\":"u8);
        _buffer.Number(delta.Call);
        if (delta.Kind == ReplyDeltaKind.CallBegin)
        {
            _buffer.Raw(",\"id\":"u8);
            _buffer.JsonString(delta.Id!);
            _buffer.Raw(isCustom ? ",\"type\":\"custom\",\"custom\":{\"name\":"u8 : ",\"type\":\"function\",\"function\":{\"name\":"u8);
            _buffer.JsonString(text);
            _buffer.Raw(isCustom ? ",\"input\":\"\"}}]"u8 : ",\"arguments\":\"\"}}]"u8);
            return;
        }

        _buffer.Raw(isCustom ? ",\"custom\":{\"input\":"u8 : ",\"function\":{\"arguments\":"u8);
        _buffer.JsonString(text);
        _buffer.Raw("}}]"u8);
    }

    private void Finish(int choice, ReplyEnd end)
    {
        // A reply that was cut within a custom call: what there is of it is said.
        if (_customCalls[choice] is { } cut)
            Delta(choice, new ReplyDelta(ReplyDeltaKind.CallEnd, "", cut.Call), null);
        OpenChoice(choice);
        _buffer.Raw("\"delta\":{},\"logprobs\":null,\"finish_reason\":"u8);
        _buffer.JsonString(ChatCompletionEndpoint.FinishReason(end, _call));
        _buffer.Raw("}]"u8);
        _frame.Close();
    }

    public void End(ReadOnlySpan<ReplyEnd> ends)
    {
        GenerationResult[] results = new GenerationResult[ends.Length];
        int reasoningTokens = 0;
        for (int i = 0; i < results.Length; i++)
            (results[i], reasoningTokens) = (ends[i].Result, reasoningTokens + ends[i].ReasoningTokens);
        _frame.End(results, reasoningTokens, ChatModeration.Of(_turn.Moderation));
    }

    public void Error(RequestProblem problem) => _frame.Error(problem);

    private void OpenChoice(int choice)
    {
        _frame.Open();
        _buffer.Raw("{\"index\":"u8);
        _buffer.Number(choice);
        _buffer.Raw(","u8);
    }
}
