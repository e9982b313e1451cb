using System.ComponentModel;
using System.Text.Json.Serialization;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>The answer of POST /v1/completions; a stream sends the same shape in pieces.</summary>
public sealed record Completion(
    string Id, string Object, long Created, string Model, IReadOnlyList<CompletionChoice> Choices, Usage? Usage, string SystemFingerprint)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: with x_cache_report.")]
    public CacheUse? XCache { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Extra: with timing.")]
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
