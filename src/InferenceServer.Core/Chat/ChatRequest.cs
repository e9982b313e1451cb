using System.Text.Json;
using InferenceServer.Moderation;

namespace InferenceServer.Chat;

/// <summary>A conversation that a model is to go on with, whatever dialect it came in.</summary>
public sealed record ChatRequest
{
    /// <summary>Oldest first.</summary>
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    public IReadOnlyList<ChatTool> Tools { get; init; } = [];

    public ToolChoice ToolChoice { get; init; } = ToolChoice.Auto;

    /// <summary>A tool's schema that cannot be enforced as a whole is refused, whatever the tool says of itself.</summary>
    public bool RefusesLooseSchemas { get; init; }

    /// <summary>Whether one reply may make several calls.</summary>
    public bool AllowMultipleToolCalls { get; init; } = true;

    /// <summary>none, minimal, low, medium, high, xhigh or max, for templates that know such a setting.</summary>
    public string? ReasoningEffort { get; init; }

    /// <summary>Most tokens of thinking; then it is closed and the reply goes on. Null and -1 set no limit.</summary>
    public int? ReasoningBudget { get; init; }

    /// <summary>Variables for the chat template.</summary>
    public IReadOnlyDictionary<string, JsonElement>? TemplateArguments { get; init; }

    /// <summary>End the prompt where a reply begins.</summary>
    public bool AddGenerationPrompt { get; init; } = true;

    /// <summary>Go on within the last message, which is the assistant's, instead of answering it.</summary>
    public bool ContinuesFinalMessage { get; init; }

    /// <summary>A text that the reply is expected to resemble; null for none.</summary>
    public string? Prediction { get; init; }

    /// <summary>Of <see cref="Tools"/>, those that the server runs itself. Null for none; with any there is one choice, and the reply begins a message.</summary>
    public HostedTools? Hosted { get; init; }

    /// <summary>Null where the request asks for none.</summary>
    internal ModerationAsked? Moderation { get; init; }

    public GenerationOptions Options { get; init; } = new();
}

/// <summary>Texts that a model is to continue, without a template.</summary>
public sealed record TextRequest
{
    public required IReadOnlyList<TextPrompt> Prompts { get; init; }

    /// <summary>The text to end up at; null for none.</summary>
    public string? Suffix { get; init; }

    /// <summary>Take the names of control tokens in the texts for the tokens themselves.</summary>
    public bool ParsesSpecial { get; init; }

    /// <summary>Report the log probabilities of the prompt's tokens, with this many of the most likely; null reports none.</summary>
    public int? PromptLogprobs { get; init; }

    public GenerationOptions Options { get; init; } = new();
}

/// <summary>One prompt: a text, or tokens where <see cref="Text"/> is null.</summary>
public sealed record TextPrompt(string? Text, IReadOnlyList<int>? Tokens);
