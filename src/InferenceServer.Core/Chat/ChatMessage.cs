using System.Globalization;
using System.Text;
using System.Text.Json;

namespace InferenceServer.Chat;

/// <summary>Whose message it is.</summary>
public enum ChatRole
{
    System,

    /// <summary>The application's instructions, where a model tells them from the system's.</summary>
    Developer,
    User,
    Assistant,

    /// <summary>The result of a call.</summary>
    Tool,
}

public static class ChatRoles
{
    /// <summary>As chat templates, and most dialects, write it.</summary>
    public static string Name(this ChatRole role) => role switch
    {
        ChatRole.System => "system",
        ChatRole.Developer => "developer",
        ChatRole.User => "user",
        ChatRole.Assistant => "assistant",
        _ => "tool",
    };

    /// <summary>Whether it speaks for the application.</summary>
    public static bool Instructs(this ChatRole role) => role is ChatRole.System or ChatRole.Developer;

    /// <summary>The role of a name that was checked.</summary>
    public static ChatRole Of(string name) => name switch
    {
        "system" => ChatRole.System,
        "developer" => ChatRole.Developer,
        "user" => ChatRole.User,
        "assistant" => ChatRole.Assistant,
        _ => ChatRole.Tool,
    };
}

/// <summary>One message of a conversation.</summary>
public sealed record ChatMessage
{
    public required ChatRole Role { get; init; }

    /// <summary>The texts that it says, in their order; null where it says nothing, such as a message that only calls.</summary>
    public IReadOnlyList<string>? Parts { get; init; }

    /// <summary>What it says, a line for each part; null as <see cref="Parts"/> is.</summary>
    public string? Text
    {
        get => Parts is null ? null : Parts.Count == 1 ? Parts[0] : string.Join('\n', Parts);
        init => Parts = value is null ? null : [value];
    }

    /// <summary>Who wrote it, where several share a role; of a result, the function.</summary>
    public string? AuthorName { get; init; }

    /// <summary>What an assistant thought before it.</summary>
    public string? Reasoning { get; init; }

    /// <summary>Calls that an assistant's message made; null for none.</summary>
    public IReadOnlyList<ChatToolCall>? ToolCalls { get; init; }

    /// <summary>Of a result: the call that it answers.</summary>
    public string? ToolCallId { get; init; }
}

/// <summary>A call that a reply made.</summary>
/// <param name="Arguments">A JSON object, as text.</param>
public sealed record ChatToolCall(string Id, string Name, string Arguments);

/// <summary>A function that the model may call.</summary>
/// <param name="Parameters">JSON schema of the arguments, an object; null for none.</param>
/// <param name="Strict">Whether arguments must obey the schema to the letter; null where nobody said.</param>
public sealed record ChatTool(string Name, string? Description = null, JsonElement? Parameters = null, bool? Strict = null)
{
    private const string NameSigns = "_-.:/@+~$";
    private const int MaxNameLength = 128;

    /// <summary>What a name must be, to be read after "must have".</summary>
    public static string NameRule { get; } = $"1 to {MaxNameLength} characters: letters, digits or any of {NameSigns}";

    /// <summary>Whether every notation of calls can write a name, and tell it from its own signs.</summary>
    public static bool IsName(string name) => name.Length is > 0 and <= MaxNameLength && name.EnumerateRunes().All(c =>
        Rune.IsLetterOrDigit(c) || (c.IsAscii && NameSigns.Contains((char)c.Value, StringComparison.Ordinal))
        || Rune.GetUnicodeCategory(c) is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark);

    /// <summary>Where <see cref="Parameters"/> stand in the request, as its dialect writes it: <c>tools[2].function.parameters</c>.</summary>
    public string Path { get; init; } = "tools";
}

/// <summary>Whether calls are made, and of what.</summary>
/// <param name="Mode">Whether there must be calls.</param>
/// <param name="Names">The only functions that may be called; null for all.</param>
public sealed record ToolChoice(ToolMode Mode, IReadOnlyList<string>? Names = null)
{
    public static ToolChoice Auto { get; } = new(ToolMode.Auto);

    public static ToolChoice None { get; } = new(ToolMode.None);

    public bool Allows(string name) => Mode != ToolMode.None && Names?.Contains(name) != false;
}

public enum ToolMode
{
    /// <summary>The model is not told of any tools.</summary>
    None,

    /// <summary>The model decides.</summary>
    Auto,

    /// <summary>At least one call.</summary>
    Required,

    /// <summary>One call, of the one name.</summary>
    Named,
}
