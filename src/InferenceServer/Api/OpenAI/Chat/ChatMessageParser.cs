using System.Text.Json;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>The <c>messages</c> of a chat request.</summary>
internal static class ChatMessageParser
{
    private const int MaxMessages = 10_000;
    private const int MaxParts = 1_000;
    private const int MaxToolCalls = 128;

    public static IReadOnlyList<ChatMessage> Parse(JsonFields body, List<string> ignored)
    {
        List<ChatMessage> messages = JsonFields.Items(body.Require("messages"), "messages", 1, MaxMessages).ConvertAll(item => ReadMessage(item.Value, item.Path, ignored));
        HashSet<string> calls = [];
        string? former = null; // the last call in the former terms, which has no id of its own
        for (int i = 0; i < messages.Count; i++)
        {
            if (messages[i].FunctionCall is { } call)
                messages[i] = messages[i] with { FunctionCall = null, ToolCalls = [new ChatToolCall(former = $"function_call_{i}", "function", call)] };
            else if (messages[i].Role == "function")
                messages[i] = messages[i] with
                {
                    Role = "tool",
                    ToolCallId = former ?? throw ApiException.InvalidValue($"'messages[{i}].role' is function, and no assistant message before it has a function_call.", $"messages[{i}].role", "invalid_value"),
                };
            if (messages[i].ToolCallId is { } answered && !calls.Contains(answered))
                throw ApiException.InvalidValue($"'messages[{i}].tool_call_id' is no call of an assistant message before it.", $"messages[{i}].tool_call_id", "invalid_value");
            calls.UnionWith((messages[i].ToolCalls ?? []).Select(made => made.Id));
        }

        return messages;
    }

    private static ChatMessage ReadMessage(JsonElement value, string path, List<string> ignored)
    {
        JsonFields fields = new(value, path);
        _ = fields.Require("role");
        string role = fields.OneOf("role", "system", "developer", "user", "assistant", "tool", "function")!;
        JsonElement? content = fields.Take("content");
        ChatMessage message = new()
        {
            Role = role,
            Content = content is { } present ? ReadText(present, fields.PathOf("content"), ignored) : null,
            Name = fields.String("name"),
            ToolCallId = role == "tool" ? fields.RequireString("tool_call_id") : null,
            ToolCalls = role == "assistant" ? ReadToolCalls(fields, ignored) : null,
            ReasoningContent = role == "assistant" ? fields.String("reasoning_content") : null,
        };
        if (role == "assistant")
            message = ReadRefusal(fields, message);
        if (role == "assistant" && fields.Object("function_call") is { } call)
        {
            if (message.ToolCalls is not null)
                throw ApiException.InvalidValue($"'{fields.PathOf("function_call")}' and 'tool_calls' cannot both be given: the former is the old name.", fields.PathOf("function_call"), "invalid_value");
            message = message with { FunctionCall = new ChatFunctionCall(call.RequireString("name"), ReadArguments(call)) };
            call.Close(ignored);
        }

        if (role == "function")
            _ = fields.RequireString("name");
        if (message.Content is null && message.ToolCalls is null && message.FunctionCall is null)
            throw ApiException.InvalidValue($"'{fields.PathOf("content")}' is required.", fields.PathOf("content"), "missing_required_parameter");
        fields.Close(ignored);
        return message;
    }

    /// <summary>A refusal in the history is what the assistant said; audio cannot be rendered.</summary>
    private static ChatMessage ReadRefusal(JsonFields fields, ChatMessage message)
    {
        if (fields.Take("audio") is not null)
            throw ApiException.Unsupported(fields.PathOf("audio"), "the model reads text only.");
        return fields.String("refusal") is { } refusal && message.Content is null ? message with { Content = refusal } : message;
    }

    /// <summary>Text given as a string or as parts of type text.</summary>
    public static string ReadText(JsonElement value, string path, List<string> ignored)
    {
        if (value.ValueKind == JsonValueKind.String)
            return JsonValue.String(value, path);
        if (value.ValueKind != JsonValueKind.Array)
            throw JsonValue.WrongType(value, path, "a string or an array of content parts");
        return string.Concat(JsonFields.Items(value, path, 1, MaxParts).ConvertAll(part => ReadPart(part.Value, part.Path, ignored)));
    }

    private static string ReadPart(JsonElement value, string path, List<string> ignored)
    {
        JsonFields part = new(value, path);
        string type = part.RequireString("type");
        string text = type switch
        {
            "text" => ReadTextPart(part, ignored),
            "refusal" => part.RequireString("refusal"),
            "image_url" or "input_audio" or "file" =>
                throw ApiException.Unsupported(part.PathOf("type"), $"the model reads text only, not '{type}'."),
            _ => throw JsonValue.NotOneOf(part.PathOf("type"), type, ["text", "refusal"]),
        };
        part.Close(ignored);
        return text;
    }

    private static string ReadTextPart(JsonFields part, List<string> ignored)
    {
        // Every prefix can be reused, marked or not.
        if (part.Object("prompt_cache_breakpoint") is { } mark)
        {
            mark.OneOf("mode", "explicit");
            mark.Close(ignored);
        }

        return part.RequireString("text");
    }

    private static List<ChatToolCall>? ReadToolCalls(JsonFields message, List<string> ignored)
    {
        if (message.Array("tool_calls", 1, MaxToolCalls) is not { } calls)
            return null;
        return calls.ConvertAll(item =>
        {
            JsonFields call = new(item.Value, item.Path);
            string id = call.RequireString("id");
            string type = call.RequireString("type");
            if (type != "function")
                throw JsonValue.NotOneOf(call.PathOf("type"), type, ["function"]);
            JsonFields function = new(call.Require("function"), call.PathOf("function"));
            ChatFunctionCall read = new(function.RequireString("name"), ReadArguments(function));
            function.Close(ignored);
            call.Close(ignored);
            return new ChatToolCall(id, type, read);
        });
    }

    /// <summary>A malformed call in the history would break every later turn inside the template, where no one can say which it was.</summary>
    public static string ReadArguments(JsonFields function)
    {
        string arguments = function.RequireString("arguments");
        string path = function.PathOf("arguments");
        try
        {
            using JsonDocument parsed = JsonDocument.Parse(arguments);
            if (parsed.RootElement.ValueKind != JsonValueKind.Object)
                throw ApiException.InvalidValue($"'{path}' must hold a JSON object as text; it holds {JsonValue.Describe(parsed.RootElement)}.", path, "invalid_value");
        }
        catch (JsonException error)
        {
            throw ApiException.InvalidValue($"'{path}' must hold a JSON object as text: {error.Message}", path, "invalid_value");
        }

        return arguments;
    }
}
