using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;

namespace InferenceServer.Api.Anthropic;

/// <summary>The body of POST /v1/messages, for the OpenAPI document; <see cref="MessagesParser"/> reads it.</summary>
public sealed record MessagesRequest
{
    [Description("Id of the loaded model, as /v1/models lists it.")]
    public required string Model { get; init; }

    [Description("Most tokens to generate, thinking included; 0 only fills the prompt cache.")]
    [Range(0, int.MaxValue)]
    public required int MaxTokens { get; init; }

    [Description("The conversation so far, oldest first; it ends in a user's turn.")]
    public required IReadOnlyList<MessageParam> Messages { get; init; }

    [Description("The system prompt: a text, or an array of text blocks.")]
    [JsonShape(AnthropicShapes.System)]
    public JsonElement? System { get; init; }

    [Description("Up to 16 texts that end the reply; the answer says which did.")]
    public IReadOnlyList<string>? StopSequences { get; init; }

    [Description("Send server-sent events as tokens come.")]
    public bool Stream { get; init; }

    [Description("0 takes the most likely token; 1 leaves the model's distribution as it is.")]
    [Range(0, 1)]
    public float? Temperature { get; init; }

    [Description("Keep the fewest tokens whose probabilities reach this sum.")]
    [Range(0, 1)]
    public float? TopP { get; init; }

    [Description("Keep the K most likely tokens; 0 keeps all.")]
    [Range(0, int.MaxValue)]
    public int? TopK { get; init; }

    [Description("Functions that the model may call.")]
    public IReadOnlyList<ToolParam>? Tools { get; init; }

    public ToolChoiceParam? ToolChoice { get; init; }

    public ThinkingParam? Thinking { get; init; }

    public MessagesMetadata? Metadata { get; init; }

    public OutputConfigParam? OutputConfig { get; init; }

    [Description("How urgent the request is; standard_only is this server's default.")]
    [AllowedValues("auto", "standard_only")]
    public string? ServiceTier { get; init; }

    [Description("Extra: say in timing, with a stream in message_delta, how long the request waited, its prompt took and its reply took.")]
    public bool Timing { get; init; }
}

/// <summary>The body of POST /v1/messages/count_tokens: the fields that make the prompt.</summary>
public sealed record CountTokensRequest
{
    [Description("Id of the loaded model; may be left out where only one is loaded.")]
    public string? Model { get; init; }

    public required IReadOnlyList<MessageParam> Messages { get; init; }

    [JsonShape(AnthropicShapes.System)]
    public JsonElement? System { get; init; }

    public IReadOnlyList<ToolParam>? Tools { get; init; }

    public ToolChoiceParam? ToolChoice { get; init; }

    public ThinkingParam? Thinking { get; init; }

    public OutputConfigParam? OutputConfig { get; init; }
}

public sealed record MessageParam(
    [property: AllowedValues("user", "assistant", "system")] string Role,
    [property: Description("A text, or an array of blocks."), JsonShape(AnthropicShapes.Content)] JsonElement Content);

public sealed record ToolParam(
    [property: Description("1 to 128 characters: letters, digits or any of _-.:/@+~$")] string Name,
    [property: Description("JSON schema of the arguments, an object."), JsonShape(JsonShapes.AnyObject)] JsonElement InputSchema,
    [property: Description("What the function does and when to call it, for the model.")] string? Description = null,
    [property: Description("Arguments obey the schema to the letter, or the request is refused. Without it, what cannot be enforced is left open, and the header x-loosened-schemas names it.")] bool? Strict = null);

[JsonForm("type", "auto,any,none"), JsonForm("type", "tool", "name")]
public sealed record ToolChoiceParam(
    [property: AllowedValues("auto", "any", "tool", "none"), Description("Whether and what to call.")] string Type,
    [property: Description("For type tool: the function to call.")] string? Name = null,
    [property: Description("At most one call.")] bool DisableParallelToolUse = false);

[JsonForm("type", "adaptive,disabled"), JsonForm("type", "enabled", "budget_tokens")]
public sealed record ThinkingParam(
    [property: AllowedValues("enabled", "adaptive", "disabled"), Description("Reaches the chat template as enable_thinking; without it there is no thinking.")] string Type,
    [property: Description("Most tokens of thinking; less than max_tokens.")] int? BudgetTokens = null,
    [property: AllowedValues("summarized", "omitted"), Description("Thinking is given as it is, or left empty.")] string? Display = null);

public sealed record MessagesMetadata(
    [property: Description("Who asks: requests of different users take turns.")] string? UserId);

public sealed record OutputConfigParam(
    [property: AllowedValues("low", "medium", "high", "xhigh", "max"), Description("Passed to the chat template, if it knows such a setting; high is the default.")] string? Effort = null,
    [property: Description("A schema that the reply is held to while it is generated.")] OutputFormatParam? Format = null);

public sealed record OutputFormatParam([property: AllowedValues("json_schema")] string Type, [property: JsonShape(JsonShapes.AnyObject)] JsonElement Schema);

/// <summary>What messages are made of. A cache_control is checked and needs nothing: every prefix is cached.</summary>
internal static class AnthropicShapes
{
    private const string CacheControl = """
        "cache_control":{"type":"object","description":"Accepted: prefixes are cached whether asked for or not.","required":["type"],"properties":{"type":{"type":"string","enum":["ephemeral"]},"ttl":{"type":"string","enum":["5m","1h"]}}}
        """;

    private const string TextBlock = $$$"""{"type":"object","required":["type","text"],"properties":{"type":{"type":"string","enum":["text"]},"text":{"type":"string"},{{{CacheControl}}} }}""";

    public const string System = $$$"""{"anyOf":[{"type":"string"},{"type":"array","items":{{{TextBlock}}} }]}""";

    public const string Content = $$$"""
        {"anyOf":[{"type":"string"},{"type":"array","items":{"anyOf":[{{{TextBlock}}},
        {"type":"object","required":["type","id","name","input"],"properties":{"type":{"type":"string","enum":["tool_use"]},"id":{"type":"string"},"name":{"type":"string"},"input":{"type":"object","additionalProperties":{},"description":"The arguments."},{{{CacheControl}}} }},
        {"type":"object","required":["type","tool_use_id"],"properties":{"type":{"type":"string","enum":["tool_result"]},"tool_use_id":{"type":"string","description":"The call that this answers."},
        "content":{{{System}}},"is_error":{"type":"boolean","description":"The model is told so."},{{{CacheControl}}} }},
        {"type":"object","required":["type","thinking"],"properties":{"type":{"type":"string","enum":["thinking"]},"thinking":{"type":"string"},"signature":{"type":"string","description":"As it came with the thinking."}} },
        {"type":"object","required":["type"],"properties":{"type":{"type":"string","enum":["redacted_thinking"]},"data":{"type":"string","description":"Left out: only who encrypted it can read it."}} }]}}]}
        """;
}
