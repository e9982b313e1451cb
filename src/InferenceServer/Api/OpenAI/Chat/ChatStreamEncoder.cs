using System.Text;
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
    private readonly OpenAIStreamFrame _frame;
    private readonly byte[][] _contentHeads;

    public ChatStreamEncoder(SseBuffer buffer, ChatHeader header, ServedVocabulary vocabulary, int choices, bool includeUsage, bool reportCache = false)
    {
        _buffer = buffer;
        _vocabulary = vocabulary;
        string head = $"data: {{\"id\":{OpenAIStreamFrame.Quote(header.Id)},\"object\":\"chat.completion.chunk\",\"created\":{header.Created},\"model\":{OpenAIStreamFrame.Quote(header.Model)},"
            + $"\"service_tier\":{OpenAIStreamFrame.Quote(header.ServiceTier)},\"system_fingerprint\":{OpenAIStreamFrame.Quote(header.Fingerprint)},\"choices\":[";
        _frame = new OpenAIStreamFrame(buffer, Encoding.UTF8.GetBytes(head), choices, includeUsage, reportCache);
        _contentHeads = new byte[choices][];
        for (int choice = 0; choice < choices; choice++)
            _contentHeads[choice] = Encoding.UTF8.GetBytes($"{head}{{\"index\":{choice},\"delta\":{{\"content\":");
    }

    public void Begin(int choice)
    {
        OpenChoice(choice);
        _buffer.Raw("\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}]"u8);
        _frame.Close();
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

        _frame.Close();
    }

    public void Finish(int choice, GenerationResult result)
    {
        OpenChoice(choice);
        _buffer.Raw("\"delta\":{},\"logprobs\":null,\"finish_reason\":"u8);
        _buffer.JsonString(GenerationOutcome.FinishReasonName(result));
        _buffer.Raw("}]"u8);
        _frame.Close();
    }

    public void End(ReadOnlySpan<GenerationResult> results) => _frame.End(results);

    public void Error(ApiException error) => _frame.Error(error);

    private void OpenChoice(int choice)
    {
        _frame.Open();
        _buffer.Raw("{\"index\":"u8);
        _buffer.Number(choice);
        _buffer.Raw(","u8);
    }
}
