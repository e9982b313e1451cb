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

    [Description("Whether and what to call: none, auto, required, {\"type\": \"function\", \"function\": {\"name\": ...}} or {\"type\": \"allowed_tools\", \"allowed_tools\": {\"mode\": ..., \"tools\": [...]}}.")]
    public JsonElement? ToolChoice { get; init; }

    [Description("Former name of tools, without their type. The answer then has function_call instead of tool_calls.")]
    public IReadOnlyList<ChatFunction>? Functions { get; init; }

    [Description("Former name of tool_choice: none, auto or {\"name\": ...}.")]
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
}

[SchemaName("ChatTool")]
public sealed record ChatCompletionTool(
    [property: AllowedValues("function")] string Type,
    ChatFunction Function);

public sealed record ChatFunction(
    [property: Description("1 to 128 characters: letters, digits or any of _-.:/@+~$")] string Name,
    [property: Description("What the function does and when to call it, for the model.")] string? Description = null,
    [property: Description("JSON schema of the arguments, an object; absent for none.")] JsonElement? Parameters = null,
    [property: Description("Arguments obey the schema to the letter, or the request is refused. Without it, what cannot be enforced is left open, and the header x-loosened-schemas names it.")] bool? Strict = null);

public sealed record Prediction([property: Description("The expected reply.")] string Content);

/// <summary>One message of a conversation.</summary>
[SchemaName("ChatMessage")]
public sealed record ChatCompletionMessage
{
    [AllowedValues("system", "developer", "user", "assistant", "tool", "function")]
    public required string Role { get; init; }

    [Description("The text, or an array of parts {\"type\": \"text\", \"text\": ...}.")]
    [SingleOrArray]
    public string? Content { get; init; }

    public string? Name { get; init; }

    [Description("Calls that an assistant message made.")]
    public IReadOnlyList<ChatCompletionToolCall>? ToolCalls { get; init; }

    [Description("Former name: the one call that an assistant message made; a message of role function answers it.")]
    public ChatFunctionCall? FunctionCall { get; init; }

    [Description("For role tool: the call that this message answers.")]
    public string? ToolCallId { get; init; }

    [Description("Extra: what an assistant thought before this reply, for templates that want it back.")]
    public string? ReasoningContent { get; init; }
}
