using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;

namespace InferenceServer.Api.OpenAI;

/// <summary>What the bodies of chat completions and completions have in common, for the OpenAPI document; <see cref="ParameterReader"/> reads it.</summary>
public abstract record GenerationParameters : SamplingParameters
{
    [Description("Id of the loaded model, as /v1/models lists it.")]
    public required string Model { get; init; }

    [Description("Most tokens to generate; -1 and null for no limit but the context.")]
    [Range(-1, int.MaxValue)]
    public int? MaxTokens { get; init; }

    [Description("Up to 16 texts that end the reply; they are not part of it.")]
    [JsonShape(JsonShapes.TextOrTexts)]
    public IReadOnlyList<string> Stop { get; init; } = [];

    [Description("How many choices to generate for each prompt; the prompt is computed once.")]
    [Range(1, 128)]
    public int N { get; init; } = 1;

    [Description("Same seed and same request alone: same text, up to near ties, which round as the rows beside them do.")]
    public long? Seed { get; init; }

    [Description("0 takes the most likely token; 1 leaves the model's distribution as it is.")]
    [Range(0, 2)]
    public float Temperature { get; init; } = 1;

    [Description("Keep the fewest tokens whose probabilities reach this sum.")]
    [Range(0, 1)]
    public float TopP { get; init; } = 1;

    [Description("Subtracted once from the logit of every token generated so far.")]
    [Range(-2, 2)]
    public float PresencePenalty { get; init; }

    [Description("Subtracted from the logit of a token for each time it was generated.")]
    [Range(-2, 2)]
    public float FrequencyPenalty { get; init; }

    [Description("Token id to a bias of -100 to 100, added to its logit.")]
    public IReadOnlyDictionary<string, float>? LogitBias { get; init; }

    [Description("What the reply must be: any text, a JSON object, or JSON that validates against a schema. At most one of this, grammar, regex and choice.")]
    public ResponseFormat? ResponseFormat { get; init; }

    [Description("Extra: a grammar in llama.cpp's GBNF notation that the whole reply matches; vLLM's guided_grammar and structured_outputs are understood, too.")]
    public string? Grammar { get; init; }

    [Description("Extra: a regular expression that the whole reply matches.")]
    public string? Regex { get; init; }

    [Description("Extra: the reply is exactly one of these texts.")]
    public IReadOnlyList<string>? Choice { get; init; }

    [Description("Extra: the LoRA adapters that the reply is computed with, instead of those of the model named; none if it is empty.")]
    public IReadOnlyList<AdapterSelection>? Lora { get; init; }

    [Description("Extra: go on after an end-of-generation token until max_tokens.")]
    public bool IgnoreEos { get; init; }

    [Description("Send server-sent events as tokens come.")]
    public bool Stream { get; init; }

    public StreamOptions? StreamOptions { get; init; }

    [Description("How urgent the request is: priority before default before flex; waiting raises it.")]
    [AllowedValues("auto", "default", "flex", "priority", "scale", "fast")]
    public string? ServiceTier { get; init; }

    [Description("Extra: most milliseconds from arrival to the last token; the header X-Request-Timeout-Ms does the same.")]
    [Range(1, 86_400_000)]
    public int? TimeoutMs { get; init; }

    [Description("Extra: cached prefixes are shared only among requests with the same salt, and the same API key.")]
    public string? CacheSalt { get; init; }

    [Description("Names a session whose cached prefix is kept longer; the header X-Session-Id does the same.")]
    public string? PromptCacheKey { get; init; }

    [Description("Extra: say in x_cache what of the prompt was reused, and why not more.")]
    public bool XCacheReport { get; init; }

    [Description("Extra: say in timing how long the request waited, its prompt took and its reply took, and how many sequences were computed beside it.")]
    public bool Timing { get; init; }

    [Description("Who asks on behalf of whom: requests of different users take turns where the server wants no API keys; else the keys do.")]
    public string? User { get; init; }
}

public sealed record StreamOptions(
    [property: Description("Send a last chunk with the usage and no choices.")] bool IncludeUsage = false);

[JsonForm("type", "text,json_object"), JsonForm("type", "json_schema", "json_schema")]
public sealed record ResponseFormat(
    [property: AllowedValues("text", "json_object", "json_schema"), Description("json_object and json_schema are enforced while the reply is generated.")] string Type,
    [property: Description("For json_schema.")] JsonSchemaFormat? JsonSchema = null,
    [property: Description("Extra, for json_object: a schema, as under json_schema.schema."), JsonShape(JsonShapes.AnyObject)] JsonElement? Schema = null);

public sealed record JsonSchemaFormat(
    [property: Description("Draft 2020-12. A keyword that cannot be enforced is refused with its path."), JsonShape(JsonShapes.AnyObject)] JsonElement Schema,
    string? Name = null,
    string? Description = null,
    [property: Description("The schema is enforced either way.")] bool? Strict = null);
