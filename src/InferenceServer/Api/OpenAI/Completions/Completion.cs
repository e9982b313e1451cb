using System.ComponentModel;
using System.Text.Json.Serialization;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>The answer of POST /v1/completions without <c>stream</c>.</summary>
public sealed record Completion(
    string Id, string Object, long Created, string Model, IReadOnlyList<CompletionChoice> Choices, Usage Usage, string SystemFingerprint)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: with x_cache_report.")]
    public CacheUse? XCache { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: with timing.")]
    public RequestTiming? Timing { get; init; }
}

/// <summary>One server-sent event of a streamed completion; the writer produces these bytes directly (<see cref="CompletionStreamEncoder"/>).</summary>
public sealed record CompletionChunk(
    string Id, string Object, long Created, string Model, IReadOnlyList<CompletionChoice> Choices, string SystemFingerprint)
{
    [Description("With stream_options.include_usage: null, and in the last chunk what the request cost.")]
    public Usage? Usage { get; init; }

    [Description("Extra: in the last chunk, with x_cache_report.")]
    public CacheUse? XCache { get; init; }

    [Description("Extra: in the last chunk, with timing.")]
    public RequestTiming? Timing { get; init; }
}

public sealed record CompletionChoice(
    int Index, string Text, CompletionLogprobs? Logprobs,
    [property: Description("stop or length; null on the chunks of a stream before the last.")] string? FinishReason);

/// <summary>Parallel arrays, a place for each token.</summary>
/// <param name="TextOffset">Where each token's text starts in the choice's text, in characters.</param>
public sealed record CompletionLogprobs(
    IReadOnlyList<string> Tokens,
    [property: Description("Null for the first token of a prompt that is echoed.")] IReadOnlyList<float?> TokenLogprobs,
    IReadOnlyList<IReadOnlyDictionary<string, float>?>? TopLogprobs,
    IReadOnlyList<int> TextOffset);
