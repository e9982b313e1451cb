using System.Text;
using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Engine;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>Text completion chunks as OpenAI sends them; all bytes around a text are prepared once a stream.</summary>
internal sealed class CompletionStreamEncoder : IReplyEncoder
{
    private readonly SseBuffer _buffer;
    private readonly ChatTurn _turn;
    private readonly CompletionCall _call;
    private readonly OpenAIStreamFrame _frame;
    private readonly byte[][] _textHeads;
    private readonly CompletionLogprobBuilder[] _logprobs;

    // How long each choice's text is so far.
    private readonly int[] _lengths;

    public CompletionStreamEncoder(SseBuffer buffer, CompletionHeader header, ChatTurn turn, CompletionCall call)
    {
        (_buffer, _turn, _call) = (buffer, turn, call);
        int choices = turn.Requests.Count;
        string head = $"data: {{\"id\":{SseBuffer.Quote(header.Id)},\"object\":\"text_completion\",\"created\":{header.Created},\"model\":{SseBuffer.Quote(header.Model)},"
            + $"\"system_fingerprint\":{SseBuffer.Quote(header.Fingerprint)},\"choices\":[";
        _frame = new OpenAIStreamFrame(buffer, Encoding.UTF8.GetBytes(head), call.N, call.Options);
        _textHeads = new byte[choices][];
        _logprobs = new CompletionLogprobBuilder[choices];
        _lengths = new int[choices];
        for (int choice = 0; choice < choices; choice++)
        {
            _textHeads[choice] = Encoding.UTF8.GetBytes($"{head}{{\"index\":{choice},\"text\":");
            _logprobs[choice] = new CompletionLogprobBuilder(call.Logprobs ?? 0);
        }
    }

    public void Write(in ReplyEvent read)
    {
        if (read.Kind == ReplyEventKind.Begin)
            Begin(read.Choice);
        else if (read.Kind == ReplyEventKind.Delta)
            Text(read.Choice, read.Delta.Text, read.Logprobs);
        else
            Finish(read.Choice, read.End!);
    }

    private void Begin(int choice)
    {
        if (CompletionEcho.Of(_call, _turn, choice) is not { } echo)
            return;
        _lengths[choice] = echo.Text.Length;
        _buffer.Raw(_textHeads[choice]);
        _buffer.JsonString(echo.Text);
        _buffer.Raw(",\"logprobs\":"u8);
        if (_turn.Generations.PromptLogprobs(choice) is not { } known)
            _buffer.Raw("null"u8);
        else
        {
            echo.AddTo(_logprobs[choice], _turn.Model.Vocabulary, known);
            _buffer.Json(_logprobs[choice].Take(echo.Text.Length), CompletionJson.Wire.CompletionLogprobs);
        }

        _buffer.Raw(",\"finish_reason\":null}]"u8);
        _frame.Close();
    }

    private void Text(int choice, string text, TokenLogprobs? logprobs)
    {
        _lengths[choice] += text.Length;
        if (logprobs is not null)
            _logprobs[choice].Add(_turn.Model.Vocabulary, logprobs);
        CompletionLogprobs? known = _logprobs[choice].TakeWithin(_lengths[choice]);
        if (text.Length == 0 && known is null)
            return;
        _buffer.Raw(_textHeads[choice]);
        _buffer.JsonString(text);
        _buffer.Raw(",\"logprobs\":"u8);
        WriteLogprobs(known);
        _buffer.Raw(",\"finish_reason\":null}]"u8);
        _frame.Close();
    }

    private void Finish(int choice, ReplyEnd end)
    {
        _buffer.Raw(_textHeads[choice]);
        _buffer.Raw("\"\",\"logprobs\":"u8);
        WriteLogprobs(_logprobs[choice].HasMore ? _logprobs[choice].Take(_lengths[choice]) : null);
        _buffer.Raw(",\"finish_reason\":"u8);
        _buffer.JsonString(CompletionChoices.FinishReason(end));
        _buffer.Raw("}]"u8);
        _frame.Close();
    }

    public void End(ReadOnlySpan<ReplyEnd> ends)
    {
        GenerationResult[] results = new GenerationResult[ends.Length];
        for (int i = 0; i < results.Length; i++)
            results[i] = ends[i].Result;
        _frame.End(results);
    }

    public void Error(RequestProblem problem) => _frame.Error(problem);

    private void WriteLogprobs(CompletionLogprobs? logprobs)
    {
        if (logprobs is null)
            _buffer.Raw("null"u8);
        else
            _buffer.Json(logprobs, CompletionJson.Wire.CompletionLogprobs);
    }
}
