using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using InferenceServer.Api.Streaming;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>What is the same in every chunk and in the whole reply.</summary>
internal sealed record ChatHeader(string Id, long Created, string Model, string ServiceTier, string Fingerprint);

/// <summary>
/// Chat completion chunks as OpenAI sends them. All bytes around a delta are prepared once a stream: a token costs two copies and one escaped string.
/// </summary>
internal sealed class ChatStreamEncoder : IStreamEncoder
{
    private readonly SseBuffer _buffer;
    private readonly ServedVocabulary _vocabulary;
    private readonly byte[] _head;
    private readonly byte[][] _contentHeads;
    private readonly bool _includeUsage;
    private readonly bool _reportCache;
    private readonly int _choicesPerPrompt;

    public ChatStreamEncoder(SseBuffer buffer, ChatHeader header, ServedVocabulary vocabulary, int choices, bool includeUsage, bool reportCache = false)
    {
        _buffer = buffer;
        _vocabulary = vocabulary;
        _includeUsage = includeUsage;
        _reportCache = reportCache;
        _choicesPerPrompt = choices;
        string head = $"data: {{\"id\":{Quote(header.Id)},\"object\":\"chat.completion.chunk\",\"created\":{header.Created},\"model\":{Quote(header.Model)},"
            + $"\"service_tier\":{Quote(header.ServiceTier)},\"system_fingerprint\":{Quote(header.Fingerprint)},\"choices\":[";
        _head = Encoding.UTF8.GetBytes(head);
        _contentHeads = new byte[choices][];
        for (int choice = 0; choice < choices; choice++)
            _contentHeads[choice] = Encoding.UTF8.GetBytes($"{head}{{\"index\":{choice},\"delta\":{{\"content\":");
    }

    public void Begin(int choice)
    {
        OpenChoice(choice);
        _buffer.Raw("\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}]"u8);
        Close();
    }

    public void Text(int choice, string text, TokenLogprobs? logprobs)
    {
        _buffer.Raw(_contentHeads[choice]);
        _buffer.JsonString(text);
        if (logprobs is null)
        {
            _buffer.Raw("},\"logprobs\":null,\"finish_reason\":null}]"u8);
        }
        else
        {
            _buffer.Raw("},\"logprobs\":"u8);
            _buffer.Json(new ChatLogprobs([LogprobFormatter.Chat(_vocabulary, logprobs)], null), OpenAIJson.Wire.ChatLogprobs);
            _buffer.Raw(",\"finish_reason\":null}]"u8);
        }

        Close();
    }

    public void Finish(int choice, GenerationResult result)
    {
        OpenChoice(choice);
        _buffer.Raw("\"delta\":{},\"logprobs\":null,\"finish_reason\":"u8);
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

    private void OpenChoice(int choice)
    {
        _buffer.Raw(_head);
        _buffer.Raw("{\"index\":"u8);
        _buffer.Number(choice);
        _buffer.Raw(","u8);
    }

    private void Close()
    {
        if (_includeUsage)
            _buffer.Raw(",\"usage\":null"u8);
        _buffer.Raw("}\n\n"u8);
    }
}
