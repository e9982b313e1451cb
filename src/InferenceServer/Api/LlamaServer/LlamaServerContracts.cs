using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Engine;

namespace InferenceServer.Api.LlamaServer;

/// <summary>The body of POST /completion, for the OpenAPI document; <see cref="LlamaCompletionParser"/> reads it.</summary>
public sealed record LlamaCompletionRequest : SamplingParameters
{
    [Description("A text, or an array of tokens. Names of control tokens in a text are taken for the tokens themselves, as llama-server does.")]
    [JsonShape(JsonShapes.TextOrTokens)]
    public required string Prompt { get; init; }

    [Description("Extra: which model; the one of the start if absent.")]
    public string? Model { get; init; }

    [Description("Most tokens to generate; -1 for no limit but the context.")]
    [Range(-1, int.MaxValue)]
    public int NPredict { get; init; } = -1;

    [Description("Texts that end the reply and are no part of it, up to 16.")]
    [JsonShape(JsonShapes.TextOrTexts)]
    public IReadOnlyList<string> Stop { get; init; } = [];

    [Description("-1 takes one by chance.")]
    public long Seed { get; init; } = -1;

    [Description("Divides positive and multiplies negative logits of tokens seen so far; 1 changes nothing.")]
    [Range(0.01, 100)]
    public float RepeatPenalty { get; init; } = 1;

    [Description("-1 for all tokens so far, 0 for none; a number between is refused beside a penalty.")]
    [Range(-1, int.MaxValue)]
    public int RepeatLastN { get; init; } = -1;

    [Description("The LoRA adapters that the reply is computed with, instead of those of the model named; none if it is empty.")]
    public IReadOnlyList<AdapterSelection>? Lora { get; init; }

    [Description("Go on after a token that ends a reply.")]
    public bool IgnoreEos { get; init; }

    [Description("A grammar in GBNF that the whole reply matches.")]
    public string? Grammar { get; init; }

    [Description("A schema that the whole reply obeys, instead of a grammar.")]
    [JsonShape(JsonShapes.AnyObject)]
    public JsonElement? JsonSchema { get; init; }

    [Description("Report the log probabilities of this many of the most likely tokens; 0 reports none.")]
    [Range(0, 20)]
    public int NProbs { get; init; }

    [Description("Most milliseconds from arrival to the last token.")]
    [Range(1, 86_400_000)]
    public int? TMaxPredictMs { get; init; }

    [Description("Send server-sent events as tokens come.")]
    public bool Stream { get; init; }
}

/// <summary>The answer of POST /completion, and the last event of its stream.</summary>
public sealed record LlamaCompletion(
    int Index, string Content, bool Stop, string Model, int TokensPredicted, int TokensEvaluated,
    [property: Description("Prompt tokens that a cache held.")] int TokensCached,
    [property: Description("eos, word at a stop text, or limit.")] string StopType,
    string StoppingWord,
    [property: Description("Always false: a prompt that does not fit is refused.")] bool Truncated,
    LlamaTimings Timings)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<ReportedLogprob>? CompletionProbabilities { get; init; }
}

/// <summary>A piece of a stream.</summary>
public sealed record LlamaCompletionPiece(int Index, string Content, bool Stop)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<ReportedLogprob>? CompletionProbabilities { get; init; }
}

/// <summary>How long the parts took, in milliseconds; rates are tokens a second, and 0 where there was nothing to time.</summary>
public sealed record LlamaTimings(int PromptN, double PromptMs, double PromptPerTokenMs, double PromptPerSecond, int PredictedN, double PredictedMs, double PredictedPerTokenMs, double PredictedPerSecond)
{
    internal static LlamaTimings Of(GenerationResult result)
    {
        int computed = result.PromptTokens - result.CachedTokens, decoded = Math.Max(result.CompletionTokens - 1, 0);
        double prefill = result.Timing.PrefillSeconds * 1000, decode = result.Timing.DecodeSeconds * 1000;
        return new(computed, Math.Round(prefill, 3), Each(prefill, computed), Rate(computed, prefill), result.CompletionTokens, Math.Round(decode, 3), Each(decode, decoded), Rate(decoded, decode));
    }

    private static double Each(double milliseconds, int tokens) => tokens > 0 ? Math.Round(milliseconds / tokens, 3) : 0;

    private static double Rate(int tokens, double milliseconds) => milliseconds > 0 ? Math.Round(tokens * 1000 / milliseconds, 3) : 0;
}

/// <summary>An error in this dialect's shape.</summary>
public sealed record LlamaError(LlamaErrorBody Error);

public sealed record LlamaErrorBody(int Code, string Message, string Type);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(LlamaCompletionRequest))]
[JsonSerializable(typeof(LlamaCompletion))]
[JsonSerializable(typeof(LlamaCompletionPiece))]
[JsonSerializable(typeof(LlamaError))]
[JsonSerializable(typeof(LlamaProperties))]
internal sealed partial class LlamaServerJson : JsonSerializerContext
{
    public static LlamaServerJson Wire { get; } = new(WireJson.Options());
}
