using System.Text.Json;
using InferenceServer.Chat;

namespace InferenceServer.Api.Ollama;

/// <summary><c>messages</c> of a chat in this dialect.</summary>
internal static class OllamaMessages
{
    private const int MaxMessages = 10_000;
    private const int MaxToolCalls = 128;

    public static List<ChatMessage> Read(JsonFields body, List<string> ignored)
    {
        List<ChatMessage> messages = [];
        // Calls have no ids in this dialect, or need not: answers go to them in their order.
        List<(string Id, string Name)> open = [];
        foreach ((JsonElement value, string path) in body.Array("messages", 0, MaxMessages) ?? [])
        {
            JsonFields fields = new(value, path);
            _ = fields.Require("role");
            string role = fields.OneOf("role", "system", "user", "assistant", "tool")!;
            RefuseImages(fields);
            ChatMessage message = new() { Role = ChatRoles.Of(role), Text = fields.Said("content") ?? "" };
            if (role == "assistant")
                message = ReadAssistant(fields, message, open, messages.Count, ignored);
            else if (role == "tool")
                message = ReadResult(fields, message, open);
            fields.Close(ignored);
            messages.Add(message);
        }

        return messages;
    }

    public static void RefuseImages(JsonFields fields)
    {
        if (fields.Array("images", 0, int.MaxValue) is { Count: > 0 })
            throw RequestProblem.Unsupported(fields.PathOf("images"), "the model reads text only.");
    }

    private static ChatMessage ReadAssistant(JsonFields fields, ChatMessage message, List<(string Id, string Name)> open, int at, List<string> ignored)
    {
        List<ChatToolCall>? calls = fields.Array("tool_calls", 0, MaxToolCalls) is { Count: > 0 } given
            ? given.ConvertAll(item => ReadCall(new JsonFields(item.Value, item.Path), $"call_{at}_{item.Path[(item.Path.LastIndexOf('[') + 1)..^1]}", ignored))
            : null;
        if (calls is not null)
        {
            open.Clear();
            open.AddRange(calls.Select(call => (call.Id, call.Name)));
        }

        return message with
        {
            Text = calls is not null && message.Text is "" ? null : message.Text,
            Reasoning = fields.Said("thinking") is { Length: > 0 } thinking ? thinking : null,
            ToolCalls = calls,
        };
    }

    private static ChatToolCall ReadCall(JsonFields call, string id, List<string> ignored)
    {
        id = call.String("id") is { Length: > 0 } given ? given : id;
        call.OneOf("type", "function");
        JsonFields function = new(call.Require("function"), call.PathOf("function"));
        function.Integer("index", 0, int.MaxValue);
        JsonElement arguments = function.Require("arguments");
        if (arguments.ValueKind != JsonValueKind.Object)
            throw JsonValue.WrongType(arguments, function.PathOf("arguments"), "an object");
        ChatToolCall read = new(id, function.RequireString("name"), arguments.GetRawText());
        function.Close(ignored);
        call.Close(ignored);
        return read;
    }

    private static ChatMessage ReadResult(JsonFields fields, ChatMessage message, List<(string Id, string Name)> open)
    {
        string? name = fields.String("tool_name") is { Length: > 0 } toolName ? toolName : null;
        string? id = fields.String("tool_call_id") is { Length: > 0 } given ? given : null;
        int answered = open.FindIndex(call => id is not null ? call.Id == id : name is null || call.Name == name);
        if (answered < 0 && id is not null)
            throw RequestProblem.Invalid($"{{where}} is no call of the assistant's message before it.", fields.PathOf("tool_call_id"), "invalid_value");
        if (answered >= 0)
        {
            (id, name) = (open[answered].Id, name ?? open[answered].Name);
            open.RemoveAt(answered);
        }

        return message with { ToolCallId = id, AuthorName = name };
    }
}
