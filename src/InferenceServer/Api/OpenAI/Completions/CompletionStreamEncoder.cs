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

    /// <param name="logprobs">As many most likely tokens are reported; null reports none.</param>
    public CompletionStreamEncoder(
        SseBuffer buffer, CompletionHeader header, ServedVocabulary vocabulary, int choices, int choicesPerPrompt, bool includeUsage, int? logprobs, bool reportCache = false)
    {
        _buffer = buffer;
        _vocabulary = vocabulary;
        string head = $"data: {{\"id\":{OpenAIStreamFrame.Quote(header.Id)},\"object\":\"text_completion\",\"created\":{header.Created},\"model\":{OpenAIStreamFrame.Quote(header.Model)},"
            + $"\"system_fingerprint\":{OpenAIStreamFrame.Quote(header.Fingerprint)},\"choices\":[";
        _frame = new OpenAIStreamFrame(buffer, Encoding.UTF8.GetBytes(head), choicesPerPrompt, includeUsage, reportCache);
        _textHeads = new byte[choices][];
        _logprobs = new CompletionLogprobBuilder[choices];
        for (int choice = 0; choice < choices; choice++)
        {
            _textHeads[choice] = Encoding.UTF8.GetBytes($"{head}{{\"index\":{choice},\"text\":");
            _logprobs[choice] = new CompletionLogprobBuilder(logprobs ?? 0);
        }
    }

    public void Begin(int choice)
    {
        // Completions have no role to announce.
    }

    public void Text(int choice, string text, TokenLogprobs? logprobs)
    {
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
