using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>The body of POST /v1/chat/completions, checked and with defaults filled in.</summary>
public sealed record ChatCompletionRequest : GenerationParameters
{
    [Description("The conversation so far, oldest first.")]
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    [Description("Most tokens to generate; takes precedence over max_tokens.")]
    [Range(0, int.MaxValue)]
    public int? MaxCompletionTokens { get; init; }

    [Description("Report the log probability of every token of the reply.")]
    public bool Logprobs { get; init; }

    [Description("How many of the most likely tokens to report at each position; needs logprobs.")]
    [Range(0, 20)]
    public int? TopLogprobs { get; init; }

    [Description("A text the reply is expected to resemble: verified as a draft, which is faster where it is right and changes nothing else.")]
    public Prediction? Prediction { get; init; }

    [Description("Passed to the chat template, if it knows such a setting.")]
    [AllowedValues("none", "minimal", "low", "medium", "high", "xhigh", "max")]
    public string? ReasoningEffort { get; init; }

    [Description("Extra: variables for the chat template, such as enable_thinking.")]
    public IReadOnlyDictionary<string, JsonElement>? ChatTemplateKwargs { get; init; }

    [Description("Up to 16 pairs of text, returned with the completion.")]
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }
}

public sealed record Prediction([property: Description("The expected reply.")] string Content);

/// <summary>One message of a conversation. Content given in parts is joined.</summary>
public sealed record ChatMessage
{
    [AllowedValues("system", "developer", "user", "assistant", "tool")]
    public required string Role { get; init; }

    [Description("The text, or an array of parts {\"type\": \"text\", \"text\": ...}.")]
    [SingleOrArray]
    public string? Content { get; init; }

    public string? Name { get; init; }

    [Description("Calls that an assistant message made.")]
    public IReadOnlyList<ChatToolCall>? ToolCalls { get; init; }

    [Description("For role tool: the call that this message answers.")]
    public string? ToolCallId { get; init; }

    [Description("Extra: what an assistant thought before this reply, for templates that want it back.")]
    public string? ReasoningContent { get; init; }
}

public sealed record ChatToolCall(string Id, string Type, ChatFunctionCall Function);

public sealed record ChatFunctionCall(
    string Name,
    [property: Description("A JSON object, as text.")] string Arguments);
