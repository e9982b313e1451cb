using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using InferenceServer.Api.Moderation;
using InferenceServer.Chat;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>The body of POST /v1/chat/completions, for the OpenAPI document; <see cref="ChatRequestParser"/> reads it.</summary>
public sealed record ChatCompletionRequest : GenerationParameters
{
    [Description("The conversation so far, oldest first.")]
    public required IReadOnlyList<ChatCompletionMessage> Messages { get; init; }

    [Description("Most tokens to generate; takes precedence over max_tokens.")]
    [Range(-1, int.MaxValue)]
    public int? MaxCompletionTokens { get; init; }

    [Description("Report the log probability of every token of the reply.")]
    public bool Logprobs { get; init; }

    [Description("How many of the most likely tokens to report at each position; needs logprobs.")]
    [Range(0, 20)]
    public int? TopLogprobs { get; init; }

    [Description("A text the reply is expected to resemble: verified as a draft, which is faster where it is right and changes nothing else, near ties aside.")]
    public Prediction? Prediction { get; init; }

    [Description("Functions that the model may call.")]
    public IReadOnlyList<ChatCompletionTool> Tools { get; init; } = [];

    [Description("Whether and what to call: none, auto, required, a function, a custom tool, or the tools that may be called.")]
    [JsonShape(ToolChoiceShape)]
    public JsonElement? ToolChoice { get; init; }

    [Description("Extra: names of MCP servers in the server's configuration. Their tools are offered beside tools, and this server runs the calls itself. Not with n above 1.")]
    public IReadOnlyList<string> Mcp { get; init; } = [];

    [Description("Former name of tools, without their type. The answer then has function_call instead of tool_calls.")]
    public IReadOnlyList<ChatFunction>? Functions { get; init; }

    [Description("Former name of tool_choice: none, auto or {\"name\": ...}.")]
    [JsonShape("""{"anyOf":[{"type":"string","enum":["none","auto"]},{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}]}""")]
    public JsonElement? FunctionCall { get; init; }

    [Description("Whether one reply may make several calls.")]
    public bool ParallelToolCalls { get; init; } = true;

    [Description("Passed to the chat template, if it knows such a setting.")]
    [AllowedValues("none", "minimal", "low", "medium", "high", "xhigh", "max")]
    public string? ReasoningEffort { get; init; }

    [Description("Extra: most tokens of thinking; then it is closed and the reply goes on. -1 sets no limit.")]
    [Range(-1, int.MaxValue)]
    public int? ReasoningBudget { get; init; }

    [Description("Extra: variables for the chat template, such as enable_thinking.")]
    public IReadOnlyDictionary<string, JsonElement>? ChatTemplateKwargs { get; init; }

    [Description("Extra: end the prompt where a reply begins; false ends it after the last message.")]
    public bool AddGenerationPrompt { get; init; } = true;

    [Description("Extra: go on within the last message, which is the assistant's, instead of answering it.")]
    public bool ContinueFinalMessage { get; init; }

    [Description("Keep the completion, to be listed and fetched later.")]
    public bool Store { get; init; }

    [Description("Who asks, where user is not given.")]
    public string? SafetyIdentifier { get; init; }

    [Description("Judge the conversation and the reply by the moderation rules, and report it in the answer.")]
    public ChatModerationOptions? Moderation { get; init; }

    [Description("Up to 16 pairs of text, returned with the completion.")]
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }

    private const string NamedTool = """
        {"type":"object","required":["type","function"],"properties":{"type":{"type":"string","enum":["function"]},"function":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}}},
        {"type":"object","required":["type","custom"],"properties":{"type":{"type":"string","enum":["custom"]},"custom":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}}}
        """;

    private const string ToolChoiceShape = $$$"""
        {"anyOf":[{"type":"string","enum":["none","auto","required"]},{{{NamedTool}}},
        {"type":"object","required":["type","allowed_tools"],"properties":{"type":{"type":"string","enum":["allowed_tools"]},
        "allowed_tools":{"type":"object","required":["mode","tools"],"properties":{"mode":{"type":"string","enum":["auto","required"]},"tools":{"type":"array","items":{"anyOf":[{{{NamedTool}}}]}} }} }}]}
        """;
}

[SchemaName("ChatTool")]
[JsonForm("type", "function", "function"), JsonForm("type", "custom", "custom")]
public sealed record ChatCompletionTool([property: AllowedValues("function", "custom")] string Type)
{
    [Description("Of a function.")]
    public ChatFunction? Function { get; init; }

    [Description("Of a custom tool: a call of it has one text as its input.")]
    public ChatCustomTool? Custom { get; init; }
}

public sealed record ChatCustomTool(
    [property: Description("1 to 128 characters: letters, digits or any of _-.:/@+~$")] string Name,
    [property: Description("What the tool does, when to call it and what its input looks like, for the model.")] string? Description = null,
    [property: Description("Read, and not used: the input is any text."), JsonShape(JsonShapes.AnyObject)] JsonElement? Format = null);

public sealed record ChatFunction(
    [property: Description("1 to 128 characters: letters, digits or any of _-.:/@+~$")] string Name,
    [property: Description("What the function does and when to call it, for the model.")] string? Description = null,
    [property: Description("JSON schema of the arguments, an object; absent for none."), JsonShape(JsonShapes.AnyObject)] JsonElement? Parameters = null,
    [property: Description("Arguments obey the schema to the letter, or the request is refused. Without it, what cannot be enforced is left open, and the header x-loosened-schemas names it.")] bool? Strict = null);

public sealed record Prediction(
    [property: AllowedValues("content")] string Type,
    [property: Description("The expected reply."), JsonShape(JsonShapes.TextOrTextParts)] JsonElement Content);

/// <summary>One message of a conversation.</summary>
[SchemaName("ChatMessage")]
[JsonForm("role", "system,developer,user", "content"), JsonForm("role", "tool", "content", "tool_call_id"), JsonForm("role", "function", "content", "name")]
[JsonForm("role", "assistant", "content"), JsonForm("role", "assistant", "tool_calls"), JsonForm("role", "assistant", "function_call"), JsonForm("role", "assistant", "refusal")]
public sealed record ChatCompletionMessage
{
    [AllowedValues("system", "developer", "user", "assistant", "tool", "function")]
    public required string Role { get; init; }

    [Description("The text, or an array of parts {\"type\": \"text\", \"text\": ...}.")]
    [JsonShape(JsonShapes.TextOrTextParts)]
    public JsonElement? Content { get; init; }

    [Description("Of an assistant's message in place of content: what it said instead.")]
    public string? Refusal { get; init; }

    [Description("Of role function: the function that answers. Of others: who speaks, for templates that say it.")]
    public string? Name { get; init; }

    [Description("Calls that an assistant message made.")]
    public IReadOnlyList<ChatPastCall>? ToolCalls { get; init; }

    [Description("Former name: the one call that an assistant message made; a message of role function answers it.")]
    public ChatPastFunctionCall? FunctionCall { get; init; }

    [Description("For role tool: the call that this message answers.")]
    public string? ToolCallId { get; init; }

    [Description("Extra: what an assistant thought before this reply, for templates that want it back.")]
    public string? ReasoningContent { get; init; }
}

/// <summary>A call as it comes back in a history.</summary>
[JsonForm("type", "function", "function"), JsonForm("type", "custom", "custom")]
public sealed record ChatPastCall(string Id, [property: AllowedValues("function", "custom")] string Type)
{
    public ChatPastFunctionCall? Function { get; init; }

    public ChatCustomCall? Custom { get; init; }
}

public sealed record ChatPastFunctionCall(
    string Name,
    [property: Description("A JSON object, as text; absent for none.")] string? Arguments = null);
