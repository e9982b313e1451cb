using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using InferenceServer.Api.Streaming;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>Text completion chunks as OpenAI sends them; prepared bytes as in <see cref="Chat.ChatStreamEncoder"/>.</summary>
internal sealed class CompletionStreamEncoder : IStreamEncoder
{
    private readonly SseBuffer _buffer;
    private readonly ServedVocabulary _vocabulary;
    private readonly byte[] _head;
    private readonly byte[][] _textHeads;
    private readonly bool _includeUsage;
    private readonly bool _reportCache;
    private readonly int _choicesPerPrompt;
    private readonly CompletionLogprobBuilder[] _logprobs;

    /// <param name="logprobs">As many most likely tokens are reported; null reports none.</param>
    public CompletionStreamEncoder(
        SseBuffer buffer, CompletionHeader header, ServedVocabulary vocabulary, int choices, int choicesPerPrompt, bool includeUsage, int? logprobs, bool reportCache = false)
    {
        _buffer = buffer;
        _vocabulary = vocabulary;
        _includeUsage = includeUsage;
        _reportCache = reportCache;
        _choicesPerPrompt = choicesPerPrompt;
        string head = $"data: {{\"id\":{Quote(header.Id)},\"object\":\"text_completion\",\"created\":{header.Created},\"model\":{Quote(header.Model)},"
            + $"\"system_fingerprint\":{Quote(header.Fingerprint)},\"choices\":[";
        _head = Encoding.UTF8.GetBytes(head);
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
        Close();
    }

    public void Finish(int choice, GenerationResult result)
    {
        _buffer.Raw(_textHeads[choice]);
        _buffer.Raw("\"\",\"logprobs\":null,\"finish_reason\":"u8);
        _buffer.JsonString(GenerationOutcome.FinishReasonName(result));
        _buffer.Raw("}]"u8);
        Close();
    }

    public void End(ReadOnlySpan<GenerationResult> results)
    {
        if (_includeUsage || _reportCache)
        {
            _buffer.Raw(_head);
            _buffer.Raw("]"u8);
            if (_includeUsage)
            {
                _buffer.Raw(",\"usage\":"u8);
                _buffer.Json(Usage.Of(results, _choicesPerPrompt), OpenAIJson.Wire.Usage);
            }

            if (CacheUse.Of(_reportCache, results) is { } use)
            {
                _buffer.Raw(",\"x_cache\":"u8);
                _buffer.Json(use, OpenAIJson.Wire.CacheUse);
            }

            _buffer.Raw("}\n\n"u8);
        }

        _buffer.Raw("data: [DONE]\n\n"u8);
    }

    public void Error(ApiException error)
    {
        _buffer.Raw("data: "u8);
        _buffer.Json(ErrorResponse.From(error), OpenAIJson.Wire.ErrorResponse);
        _buffer.Raw("\n\n"u8);
    }

    private static string Quote(string text) => $"\"{JsonEncodedText.Encode(text, JavaScriptEncoder.UnsafeRelaxedJsonEscaping)}\"";

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

    private void Close()
    {
        if (_includeUsage)
            _buffer.Raw(",\"usage\":null"u8);
        _buffer.Raw("}\n\n"u8);
    }
}
