using System.Text.Json;
using InferenceServer.Chat;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>The <c>messages</c> of a chat request.</summary>
internal static class ChatMessageParser
{
    private const int MaxMessages = 10_000;
    private const int MaxParts = 1_000;
    private const int MaxToolCalls = 128;

    public static IReadOnlyList<ChatMessage> Parse(JsonFields body, List<string> ignored)
    {
        List<ChatMessage> messages = [];
        HashSet<string> calls = [];
        string? former = null; // the last call in the former terms, which has no id of its own
        foreach ((JsonElement value, string path) in JsonFields.Items(body.Require("messages"), "messages", 1, MaxMessages))
        {
            JsonFields fields = new(value, path);
            _ = fields.Require("role");
            string role = fields.OneOf("role", "system", "developer", "user", "assistant", "tool", "function")!;
            ChatMessage message = ReadMessage(fields, role, ignored);
            if (role == "assistant" && ReadFormerCall(fields, message, ignored) is { } call)
                message = message with { ToolCalls = [call with { Id = former = $"function_call_{messages.Count}" }] };
            else if (role == "function")
                message = message with
                {
                    ToolCallId = former ?? throw RequestProblem.Invalid($"{{where}} is function, and no assistant message before it has a function_call.", fields.PathOf("role"), "invalid_value"),
                };
            if (message.Parts is null && message.ToolCalls is null)
                throw role == "assistant"
                    ? RequestProblem.Invalid("{where} is required where there is no 'tool_calls', 'function_call' or 'refusal'.", fields.PathOf("content"), "missing_required_parameter")
                    : JsonFields.Missing(fields.PathOf("content"));
            fields.Close(ignored);
            if (message.ToolCallId is { } answered && !calls.Contains(answered))
                throw RequestProblem.Invalid($"{{where}} is no call of an assistant message before it.", fields.PathOf("tool_call_id"), "invalid_value");
            calls.UnionWith((message.ToolCalls ?? []).Select(made => made.Id));
            messages.Add(message);
        }

        return messages;
    }

    private static ChatMessage ReadMessage(JsonFields fields, string role, List<string> ignored)
    {
        ChatMessage message = new()
        {
            Role = ChatRoles.Of(role),
            Parts = fields.Take("content") is { } content ? ReadParts(content, fields.PathOf("content"), ignored) : null,
            AuthorName = role == "function" ? fields.RequireString("name") : fields.String("name"),
            ToolCallId = role == "tool" ? fields.RequireString("tool_call_id") : null,
            ToolCalls = role == "assistant" ? ReadToolCalls(fields, ignored) : null,
            Reasoning = role == "assistant" ? fields.Said("reasoning_content") : null,
        };
        return role == "assistant" ? ReadRefusal(fields, message) : message;
    }

    /// <summary>The one call of an assistant's message in the former terms; null where there is none.</summary>
    private static ChatToolCall? ReadFormerCall(JsonFields fields, ChatMessage message, List<string> ignored)
    {
        if (fields.Object("function_call") is not { } call)
            return null;
        if (message.ToolCalls is not null)
            throw RequestProblem.Invalid($"{{where}} and 'tool_calls' cannot both be given: the former is the old name.", fields.PathOf("function_call"), "invalid_value");
        ChatToolCall read = new("", call.RequireString("name"), ToolReader.ReadArguments(call));
        call.Close(ignored);
        return read;
    }

    /// <summary>A refusal in the history is what the assistant said; audio cannot be rendered.</summary>
    private static ChatMessage ReadRefusal(JsonFields fields, ChatMessage message)
    {
        if (fields.Take("audio") is not null)
            throw RequestProblem.Unsupported(fields.PathOf("audio"), "the model reads text only.");
        return fields.Said("refusal") is { } refusal && message.Parts is null ? message with { Text = refusal } : message;
    }

    /// <summary>Text given as a string or as parts of type text.</summary>
    public static List<string> ReadParts(JsonElement value, string path, List<string> ignored)
    {
        if (value.ValueKind == JsonValueKind.String)
            return [JsonValue.Said(value, path)];
        if (value.ValueKind != JsonValueKind.Array)
            throw JsonValue.WrongType(value, path, "a string or an array of content parts");
        return JsonFields.Items(value, path, 0, MaxParts).ConvertAll(part => ReadPart(part.Value, part.Path, ignored));
    }

    private static string ReadPart(JsonElement value, string path, List<string> ignored)
    {
        JsonFields part = new(value, path);
        string type = part.RequireString("type");
        string text = type switch
        {
            "text" => ReadTextPart(part, ignored),
            "refusal" => part.RequireSaid("refusal"),
            "image_url" or "input_audio" or "file" =>
                throw RequestProblem.Unsupported(part.PathOf("type"), $"the model reads text only, not '{type}'."),
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

        return part.RequireSaid("text");
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
            if (type is not ("function" or "custom"))
                throw JsonValue.NotOneOf(call.PathOf("type"), type, ["function", "custom"]);
            JsonFields function = new(call.Require(type), call.PathOf(type));
            ChatToolCall read = new(id, function.RequireString("name"), type == "custom" ? ToolReader.CustomArguments(function.RequireSaid("input")) : ToolReader.ReadArguments(function));
            function.Close(ignored);
            call.Close(ignored);
            return read;
        });
    }
}
