using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace InferenceServer.InProcess;

/// <summary>Messages of Microsoft.Extensions.AI to those of the conversation core.</summary>
internal static class MessageReader
{
    private static readonly ChatRole Developer = new("developer");

    // As the model wrote it, or nearly: indented, and with characters beyond ASCII escaped, it would take more tokens.
    private static readonly JsonSerializerOptions Compact = new(AIJsonUtilities.DefaultOptions) { WriteIndented = false, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static JsonTypeInfo<IDictionary<string, object?>> ArgumentsType { get; } = (JsonTypeInfo<IDictionary<string, object?>>)Compact.GetTypeInfo(typeof(IDictionary<string, object?>));

    /// <param name="instructions">Said before everything else; null for nothing.</param>
    /// <exception cref="RequestProblem">A message contradicts itself or another.</exception>
    /// <exception cref="NotSupportedException">A content is not for this model; the message names it.</exception>
    public static IReadOnlyList<Chat.ChatMessage> Read(IEnumerable<ChatMessage> messages, string? instructions)
    {
        List<Chat.ChatMessage> read = [];
        if (!string.IsNullOrEmpty(instructions))
            read.Add(new() { Role = Chat.ChatRole.System, Text = PromptText.Checked(instructions, $"{InProcessProblems.Options}{nameof(ChatOptions.Instructions)}") });
        HashSet<string> calls = [];
        int index = 0;
        foreach (ChatMessage message in messages)
        {
            string path = $"messages[{index++}]";
            if (message.Role == ChatRole.Tool)
            {
                read.AddRange(ReadResults(message, path, calls));
                continue;
            }

            Chat.ChatMessage said = ReadMessage(message, path);
            calls.UnionWith((said.ToolCalls ?? []).Select(call => call.Id));
            read.Add(said);
        }

        return index > 0 ? read : throw RequestProblem.Invalid("{where} has no message.", "messages", "invalid_length");
    }

    private static Chat.ChatMessage ReadMessage(ChatMessage message, string path)
    {
        Chat.ChatRole role = RoleOf(message.Role, path);
        List<string>? parts = null;
        StringBuilder? reasoning = null;
        List<Chat.ChatToolCall>? calls = null;
        for (int i = 0; i < message.Contents.Count; i++)
        {
            string place = $"{path}.Contents[{i}]";
            switch (message.Contents[i])
            {
                case TextContent said:
                    (parts ??= []).Add(PromptText.Checked(said.Text, place));
                    break;
                case TextReasoningContent thought when role == Chat.ChatRole.Assistant:
                    (reasoning ??= new()).Append(PromptText.Checked(thought.Text, place));
                    break;
                case FunctionCallContent call when role == Chat.ChatRole.Assistant:
                    (calls ??= []).Add(new(PromptText.Checked(call.CallId, place), PromptText.Checked(call.Name, place), ArgumentsOf(call, place)));
                    break;
                // What was said instead of a reply is what the assistant said.
                case ErrorContent refusal when role == Chat.ChatRole.Assistant:
                    (parts ??= []).Add(PromptText.Checked(refusal.Message ?? "", place));
                    break;
                // Streams that were put together hold it; it says nothing to a model.
                case UsageContent:
                    break;
                case var content:
                    throw Unsupported(content, message.Role, place);
            }
        }

        if (parts is null && calls is null && reasoning is null)
            throw RequestProblem.Invalid("{where} has no text.", path, "missing_required_parameter");
        return new()
        {
            Role = role,
            Parts = parts ?? (calls is null ? [""] : null),
            AuthorName = message.AuthorName is { } author ? PromptText.Checked(author, $"{path}.{nameof(message.AuthorName)}") : null,
            Reasoning = reasoning?.ToString(),
            ToolCalls = calls,
        };
    }

    private static IEnumerable<Chat.ChatMessage> ReadResults(ChatMessage message, string path, HashSet<string> calls)
    {
        if (message.Contents.Count == 0)
            throw RequestProblem.Invalid("{where} has no result.", path, "missing_required_parameter");
        for (int i = 0; i < message.Contents.Count; i++)
        {
            string place = $"{path}.Contents[{i}]";
            if (message.Contents[i] is not FunctionResultContent result)
                throw Unsupported(message.Contents[i], message.Role, place);
            if (!calls.Contains(result.CallId))
                throw RequestProblem.Invalid("{where} is no call of an assistant message before it.", $"{place}.{nameof(result.CallId)}", "invalid_value");
            yield return new() { Role = Chat.ChatRole.Tool, Text = PromptText.Checked(ResultOf(result), place), ToolCallId = result.CallId };
        }
    }

    private static string ArgumentsOf(FunctionCallContent call, string place) =>
        call.Arguments is { } arguments ? PromptText.Checked(JsonSerializer.Serialize(arguments, ArgumentsType), place) : "{}";

    /// <summary>A text as it is, without JSON's quotes.</summary>
    private static string ResultOf(FunctionResultContent result) => result.Result switch
    {
        null => result.Exception is { } error ? $"Error: {error.Message}" : "",
        string text => text,
        JsonElement { ValueKind: JsonValueKind.String } json => json.GetString()!,
        { } value => JsonSerializer.Serialize(value, Compact.GetTypeInfo(typeof(object))),
    };

    private static Chat.ChatRole RoleOf(ChatRole role, string path) =>
        role == ChatRole.System ? Chat.ChatRole.System
        : role == Developer ? Chat.ChatRole.Developer
        : role == ChatRole.User ? Chat.ChatRole.User
        : role == ChatRole.Assistant ? Chat.ChatRole.Assistant
        : throw InProcessProblems.Unsupported($"{path}.{nameof(ChatMessage.Role)}", $"the model knows system, developer, user, assistant and tool, not '{role}'.");

    private static NotSupportedException Unsupported(AIContent content, ChatRole role, string place)
    {
        string? media = content switch
        {
            DataContent data => data.MediaType,
            UriContent uri => uri.MediaType,
            _ => null,
        };
        return InProcessProblems.Unsupported($"{place}, {content.GetType().Name}{(media is null ? "" : $" of {media}")} in a message of role '{role}',",
            role == ChatRole.Tool ? "such a message holds results of functions only." : "the model reads text; an assistant's message may also reason and call functions.");
    }
}
