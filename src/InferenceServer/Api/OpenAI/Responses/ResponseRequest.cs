using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Api.Moderation;
using InferenceServer.Chat;
using InferenceServer.Mcp;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>The body of POST /v1/responses, checked and with defaults filled in, beside what it is translated into.</summary>
public sealed record ResponseRequest : SamplingParameters
{
    [Description("Id of the loaded model, as /v1/models lists it.")]
    public required string Model { get; init; }

    [Description("A text, or an array of items. Required unless the request goes on from a response or a conversation.")]
    [JsonShape(ResponseShapes.Input)]
    public JsonElement? Input { get; init; }

    [Description("A system message before everything else; that of an earlier response is not taken over.")]
    public string? Instructions { get; init; }

    [Description("Go on from this stored response. Not together with conversation.")]
    public string? PreviousResponseId { get; init; }

    [Description("Id of a conversation, or {\"id\": ..., \"parent_id\": ...}: its items, up to the newest or to the one that parent_id names, come before the input, and input and output are added below. "
        + "parent_id null begins a new branch at the root. With parent_id other turns may run meanwhile.")]
    [JsonShape("""{"anyOf":[{"type":"string"},{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"parent_id":{"type":["string","null"]}}}]}""")]
    public JsonElement? Conversation { get; init; }

    [Description("Keep the response. Default: true where the server has a data directory.")]
    public bool? Store { get; init; }

    [Description("Answer at once and go on without the client; needs store.")]
    public bool Background { get; init; }

    [Description("Send server-sent events as tokens come.")]
    public bool Stream { get; init; }

    [Description("Only beside stream; there is nothing to choose, and include_obfuscation is refused.")]
    [JsonShape("""{"type":"object","properties":{"include_obfuscation":{"type":"boolean"}}}""")]
    public JsonElement? StreamOptions { get; init; }

    [Description("What else to answer with: message.output_text.logprobs, reasoning.encrypted_content.")]
    public IReadOnlyList<string> Include { get; init; } = [];

    [Description("Most tokens to generate, reasoning included.")]
    [Range(1, int.MaxValue)]
    public int? MaxOutputTokens { get; init; }

    [Description("Most calls of MCP servers' tools; after them the model goes on without.")]
    [Range(1, int.MaxValue)]
    public int? MaxToolCalls { get; init; }

    [Description("Up to 16 pairs of text, returned with the response.")]
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }

    [Description("What the reply must be: text, a JSON object, or JSON that validates against a schema.")]
    public ResponseText? Text { get; init; }

    [Description("effort is passed to the chat template, if it knows such a setting; summary auto or detailed puts the reasoning, whole, into summary instead of content.")]
    public ResponseReasoning? Reasoning { get; init; }

    [Description("Functions that the model may call, and MCP servers in the server's configuration whose tools it may call: this server runs these. Tools of other types, which a server would have to run, are listed in x-ignored-params.")]
    [JsonShape(ResponseShapes.Tools)]
    public IReadOnlyList<ResponseTool> Tools { get; init; } = [];

    [Description("Whether and what to call: none, auto, required, a function, an MCP server's tool, or the tools that may be called.")]
    [JsonShape(ResponseShapes.ToolChoice)]
    public JsonElement? ToolChoice { get; init; }

    [Description("Whether one reply may make several calls.")]
    public bool ParallelToolCalls { get; init; } = true;

    [Description("0 takes the most likely token; 1 leaves the model's distribution as it is. The other sampling fields of chat completions are taken too.")]
    [Range(0, 2)]
    public float Temperature { get; init; } = 1;

    [Range(0, 1)]
    public float TopP { get; init; } = 1;

    [Description("How many of the most likely tokens to report at each position; needs include message.output_text.logprobs.")]
    [Range(0, 20)]
    public int? TopLogprobs { get; init; }

    [Description("auto leaves out the oldest turns, whole, where the context does not hold all; disabled answers 400.")]
    [AllowedValues("auto", "disabled")]
    public string Truncation { get; init; } = "disabled";

    [Description("How urgent the request is: priority before default before flex; waiting raises it.")]
    [AllowedValues("auto", "default", "flex", "priority", "scale", "fast")]
    public string? ServiceTier { get; init; }

    [Description("Names a session whose cached prefix is kept longer. Default: the conversation, or the first response of the chain.")]
    public string? PromptCacheKey { get; init; }

    [Description("Who asks, where user is not given.")]
    public string? SafetyIdentifier { get; init; }

    public string? User { get; init; }

    [Description("Extra: the LoRA adapters that the reply is computed with, instead of those of the model named; none if it is empty.")]
    public IReadOnlyList<AdapterSelection>? Lora { get; init; }

    [Description("Extra: go on after an end-of-generation token until max_output_tokens.")]
    public bool IgnoreEos { get; init; }

    [Description("Extra: a grammar in llama.cpp's GBNF notation that the whole reply matches. At most one of text.format, grammar, regex and choice.")]
    public string? Grammar { get; init; }

    [Description("Extra: a regular expression that the whole reply matches.")]
    public string? Regex { get; init; }

    [Description("Extra: the reply is exactly one of these texts.")]
    public IReadOnlyList<string>? Choice { get; init; }

    [Description("Judge the input and the reply by the server's moderation rules.")]
    public ChatModerationOptions? Moderation { get; init; }

    [Description("Extra: say in x_cache what of the prompt was reused, and why not more.")]
    public bool XCacheReport { get; init; }

    [Description("Extra: say in timing how long the request waited, its prompt took and its reply took, and how many sequences were computed beside it.")]
    public bool Timing { get; init; }

    /// <summary>Everything that the engine is told, but for the messages.</summary>
    [JsonIgnore]
    internal ChatRequest Chat { get; init; } = null!;

    [JsonIgnore]
    internal CallOptions Call { get; init; } = null!;

    /// <summary>The new items; references among them have still to be looked up.</summary>
    [JsonIgnore]
    internal IReadOnlyList<InputItem> Items { get; init; } = [];

    /// <summary>The MCP servers whose tools this server is to run.</summary>
    [JsonIgnore]
    internal IReadOnlyList<McpAsk> Mcp { get; init; } = [];

    [JsonIgnore]
    internal string? ConversationId { get; init; }

    /// <summary>The item of the conversation to go on from; null for the newest.</summary>
    [JsonIgnore]
    internal SentParent? ConversationParent { get; init; }

    [JsonIgnore]
    internal bool IncludesEncryptedReasoning => Include.Contains(ResponseRequestParser.EncryptedReasoning);
}

/// <summary>An item as it was sent: itself, or the id of one that is stored.</summary>
/// <param name="Path">Where it stood, as errors name it.</param>
internal readonly record struct InputItem(ResponseItem? Item, string? Reference, string Path)
{
    /// <summary>The client's id of it.</summary>
    public string? SentId { get; init; }

    /// <summary>Null where nothing is said of it.</summary>
    public SentParent? Parent { get; init; }

    public DateTimeOffset? Created { get; init; }
}

/// <summary>A <c>parent_id</c> that was sent.</summary>
/// <param name="Id">Null for none: the item is to be a first one.</param>
internal sealed record SentParent(string? Id)
{
    /// <summary>Takes <c>parent_id</c>; null when absent.</summary>
    public static SentParent? Read(JsonFields fields) => fields.Has("parent_id") ? new(fields.String("parent_id")) : null;
}
