using System.Text.Json;

namespace InferenceServer.Chat;

/// <summary>A conversation to the prompt's text.</summary>
/// <param name="conversation">What the template sees.</param>
public delegate string ChatRenderer(ChatConversation conversation);

/// <summary>What a chat template is given.</summary>
public sealed record ChatConversation
{
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <summary>End where the reply begins; false for a conversation's beginning as it is seen from later turns.</summary>
    public bool AddGenerationPrompt { get; init; } = true;

    /// <summary>End within the last message, which is the assistant's.</summary>
    public bool ContinuesFinalMessage { get; init; }

    /// <summary>Takes the names of what had to be done to the conversation so that the template can say it; null where nobody wants to know.</summary>
    public ICollection<string>? Adaptations { get; init; }

    /// <summary>The functions that the model is told of.</summary>
    public IReadOnlyList<ChatTool> Tools { get; init; } = [];

    public string? ReasoningEffort { get; init; }

    public IReadOnlyDictionary<string, JsonElement>? TemplateArguments { get; init; }
}
