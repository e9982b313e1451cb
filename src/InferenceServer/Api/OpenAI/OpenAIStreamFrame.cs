using System.Text.Encodings.Web;
using System.Text.Json;
using InferenceServer.Api.Moderation;
using InferenceServer.Api.Streaming;
using InferenceServer.Engine;

namespace InferenceServer.Api.OpenAI;

/// <summary>What chunks of chat and of text completions have in common: the bytes before a choice, the end of a chunk, and the end of the stream.</summary>
/// <param name="head">From <c>data:</c> up to and including the bracket that opens the choices.</param>
internal sealed class OpenAIStreamFrame(SseBuffer buffer, byte[] head, int choicesPerPrompt, CallOptions call)
{
    public void Open() => buffer.Raw(head);

    public void Close()
    {
        if (call.IncludesUsage)
            buffer.Raw(",\"usage\":null"u8);
        buffer.Raw("}\n\n"u8);
    }

    /// <summary>The last chunk, with usage, moderation, cache report and timing where asked for, and the mark that nothing follows.</summary>
    public void End(ReadOnlySpan<GenerationResult> results, int reasoningTokens = 0, ChatModeration? moderation = null)
    {
        if (call.IncludesUsage || call.ReportsCache || call.ReportsTiming || moderation is not null)
        {
            Open();
            buffer.Raw("]"u8);
            if (call.IncludesUsage)
            {
                buffer.Raw(",\"usage\":"u8);
                buffer.Json(Usage.Of(results, choicesPerPrompt, reasoningTokens), OpenAIJson.Wire.Usage);
            }

            if (moderation is not null)
            {
                buffer.Raw(",\"moderation\":"u8);
                buffer.Json(moderation, OpenAIJson.Wire.ChatModeration);
            }

            if (CacheUse.Of(call.ReportsCache, results) is { } use)
            {
                buffer.Raw(",\"x_cache\":"u8);
                buffer.Json(use, ServerJson.Wire.CacheUse);
            }

            if (RequestTiming.Of(call.ReportsTiming, results, choicesPerPrompt) is { } timing)
            {
                buffer.Raw(",\"timing\":"u8);
                buffer.Json(timing, ServerJson.Wire.RequestTiming);
            }

            buffer.Raw("}\n\n"u8);
        }

        buffer.Raw("data: [DONE]\n\n"u8);
    }

    public void Error(RequestProblem problem)
    {
        buffer.Raw("data: "u8);
        buffer.Json(ErrorResponse.From(problem), OpenAIJson.Wire.ErrorResponse);
        buffer.Raw("\n\n"u8);
    }
}
