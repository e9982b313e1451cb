using System.Text;
using InferenceServer.Api.Streaming;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>Text completion chunks as OpenAI sends them; prepared bytes as in <see cref="Chat.ChatStreamEncoder"/>.</summary>
internal sealed class CompletionStreamEncoder : IStreamEncoder
{
    private readonly SseBuffer _buffer;
    private readonly ServedVocabulary _vocabulary;
    private readonly OpenAIStreamFrame _frame;
    private readonly byte[][] _textHeads;
    private readonly CompletionLogprobBuilder[] _logprobs;
    private readonly Func<int, (CompletionEcho Echo, IReadOnlyList<TokenLogprobs?>? Logprobs)?> _echo;

    /// <param name="echo">What a choice begins with, asked for at its first event; null for nothing.</param>
    public CompletionStreamEncoder(SseBuffer buffer, CompletionHeader header, ServedVocabulary vocabulary, int choices, CompletionRequest request,
        Func<int, (CompletionEcho Echo, IReadOnlyList<TokenLogprobs?>? Logprobs)?> echo)
    {
        _echo = echo;
        _buffer = buffer;
        _vocabulary = vocabulary;
        string head = $"data: {{\"id\":{OpenAIStreamFrame.Quote(header.Id)},\"object\":\"text_completion\",\"created\":{header.Created},\"model\":{OpenAIStreamFrame.Quote(header.Model)},"
            + $"\"system_fingerprint\":{OpenAIStreamFrame.Quote(header.Fingerprint)},\"choices\":[";
        _frame = new OpenAIStreamFrame(buffer, Encoding.UTF8.GetBytes(head), request.N, request.StreamOptions?.IncludeUsage ?? false,
            request.XCacheReport, request.Timing);
        _textHeads = new byte[choices][];
        _logprobs = new CompletionLogprobBuilder[choices];
        for (int choice = 0; choice < choices; choice++)
        {
            _textHeads[choice] = Encoding.UTF8.GetBytes($"{head}{{\"index\":{choice},\"text\":");
            _logprobs[choice] = new CompletionLogprobBuilder(request.Logprobs ?? 0);
        }
    }

    public void Begin(int choice)
    {
        if (_echo(choice) is not { } said)
            return;
        _buffer.Raw(_textHeads[choice]);
        _buffer.JsonString(said.Echo.Text);
        _buffer.Raw(",\"logprobs\":"u8);
        if (said.Logprobs is null)
            _buffer.Raw("null"u8);
        else
        {
            said.Echo.AddTo(_logprobs[choice], _vocabulary, said.Logprobs);
            _buffer.Json(_logprobs[choice].Take(), OpenAIJson.Wire.CompletionLogprobs);
        }

        _buffer.Raw(",\"finish_reason\":null}]"u8);
        _frame.Close();
    }

    public void Text(int choice, string text, int tokens, TokenLogprobs? logprobs)
    {
        if (text.Length == 0 && logprobs is null)
            return;
        _buffer.Raw(_textHeads[choice]);
        _buffer.JsonString(text);
        _buffer.Raw(",\"logprobs\":"u8);
        WriteLogprobs(choice, logprobs);
        _buffer.Raw(",\"finish_reason\":null}]"u8);
        _frame.Close();
    }

    public void Finish(int choice, GenerationResult result)
    {
        _buffer.Raw(_textHeads[choice]);
        _buffer.Raw("\"\",\"logprobs\":null,\"finish_reason\":"u8);
        _buffer.JsonString(GenerationOutcome.FinishReasonName(result));
        _buffer.Raw("}]"u8);
        _frame.Close();
    }

    public void End(ReadOnlySpan<GenerationResult> results) => _frame.End(results);

    public void Error(ApiException error) => _frame.Error(error);

    private void WriteLogprobs(int choice, TokenLogprobs? logprobs)
    {
        if (logprobs is null)
        {
            _buffer.Raw("null"u8);
            return;
        }

        _logprobs[choice].Add(_vocabulary, logprobs);
        _buffer.Json(_logprobs[choice].Take(), OpenAIJson.Wire.CompletionLogprobs);
    }
}
