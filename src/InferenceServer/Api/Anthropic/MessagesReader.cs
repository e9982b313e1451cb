using System.Text.Json;
using InferenceServer.Chat;

namespace InferenceServer.Api.Anthropic;

/// <summary><c>system</c> and <c>messages</c>: turns of blocks to messages of one text each.</summary>
internal static class MessagesReader
{
    private const int MaxMessages = 10_000;
    private const int MaxBlocks = 1_000;

    // What Anthropic's own tools said in a session that went on here: their results are pages and files of theirs.
    private static readonly string[] ServerBlocks =
    [
        "server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result",
        "tool_search_tool_result", "mcp_tool_use", "mcp_tool_result", "container_upload",
    ];

    public static List<ChatMessage> Read(JsonFields body, List<string> ignored)
    {
        List<ChatMessage> messages = [];
        if (body.Take("system") is { } system && WithoutMarker(ReadText(system, "system", ignored)) is { Length: > 0 } instructions)
            messages.Add(new ChatMessage { Role = ChatRole.System, Text = instructions });
        HashSet<string> calls = [];
        List<(JsonElement Value, string Path)> turns = JsonFields.Items(body.Require("messages"), "messages", 1, MaxMessages);
        foreach ((JsonElement value, string path) in turns)
        {
            JsonFields turn = new(value, path);
            _ = turn.Require("role");
            string role = turn.OneOf("role", "user", "assistant", "system")!;
            JsonElement content = turn.Require("content");
            if (role == "assistant")
            {
                Add(messages, ReadAssistant(content, turn.PathOf("content"), ignored));
                calls.UnionWith((messages[^1].ToolCalls ?? []).Select(call => call.Id));
            }
            else if (role == "system")
                messages.Add(new ChatMessage { Role = ChatRole.System, Text = ReadText(content, turn.PathOf("content"), ignored) });
            else
                ReadUser(content, turn.PathOf("content"), messages, calls, ignored);
            turn.Close(ignored);
        }

        return messages;
    }

    /// <summary>Prefixes are cached whether asked for or not; what the hint says must still be sound.</summary>
    public static void TakeCacheControl(JsonFields fields)
    {
        if (fields.Object("cache_control") is not { } control)
            return;
        _ = control.Require("type");
        control.OneOf("type", "ephemeral");
        control.OneOf("ttl", "5m", "1h");
    }

    /// <summary>
    /// Without the line that some clients put first for their own accounting, such as <c>x-anthropic-billing-header: ...; cch=fa690;</c>. It changes with each request, and
    /// nothing after it could come from the cache.
    /// </summary>
    private static string WithoutMarker(string instructions)
    {
        if (!instructions.StartsWith("x-anthropic-", StringComparison.OrdinalIgnoreCase))
            return instructions;
        int end = instructions.IndexOf('\n');
        return end < 0 ? "" : instructions[(end + 1)..].TrimStart('\n');
    }

    /// <summary>Turns of one role in a row are one turn, as the dialect has it and templates want it.</summary>
    private static void Add(List<ChatMessage> messages, ChatMessage message)
    {
        if (messages.Count > 0 && messages[^1] is { ToolCalls: null, ToolCallId: null, Reasoning: null } last && last.Role == message.Role && message.Reasoning is null)
            messages[^1] = message with { Text = last.Text is { Length: > 0 } before && message.Text is { Length: > 0 } after ? $"{before}\n{after}" : last.Text + message.Text };
        else
            messages.Add(message);
    }

    private static void ReadUser(JsonElement content, string path, List<ChatMessage> messages, HashSet<string> calls, List<string> ignored)
    {
        if (content.ValueKind == JsonValueKind.String)
        {
            Add(messages, new ChatMessage { Role = ChatRole.User, Text = JsonValue.Said(content, path) });
            return;
        }

        foreach ((JsonFields block, string type) in Blocks(content, path, 1))
        {
            if (type == "text")
                Add(messages, new ChatMessage { Role = ChatRole.User, Text = TextOf(block) });
            else if (type == "tool_result")
                messages.Add(ReadResult(block, calls, ignored));
            else
                throw Refuse(block, type, path);
            block.Close(ignored);
        }
    }

    private static ChatMessage ReadResult(JsonFields block, HashSet<string> calls, List<string> ignored)
    {
        string id = block.RequireString("tool_use_id");
        if (!calls.Contains(id))
            throw RequestProblem.Invalid($"{{where}} is no tool_use of an assistant's turn before it.", block.PathOf("tool_use_id"), "invalid_value");
        string text = block.Take("content") is { } content ? ReadText(content, block.PathOf("content"), ignored, isResult: true) : "";
        // Templates have no place for it but the text.
        if (block.Boolean("is_error") == true)
            text = $"Error: {text}";
        TakeCacheControl(block);
        return new ChatMessage { Role = ChatRole.Tool, Text = text, ToolCallId = id };
    }

    private static ChatMessage ReadAssistant(JsonElement content, string path, List<string> ignored)
    {
        if (content.ValueKind == JsonValueKind.String)
            return new ChatMessage { Role = ChatRole.Assistant, Text = JsonValue.Said(content, path) };
        List<string> texts = [], thinking = [];
        List<ChatToolCall> calls = [];
        foreach ((JsonFields block, string type) in Blocks(content, path, 0))
        {
            switch (type)
            {
                case "text":
                    texts.Add(TextOf(block));
                    break;
                case "thinking":
                    thinking.Add(ReadThinking(block));
                    break;
                case "tool_use":
                    calls.Add(ReadCall(block, ignored));
                    break;
                case "redacted_thinking":
                    // Only who encrypted it can read it.
                    block.String("data");
                    break;
                case var other when ServerBlocks.Contains(other):
                    ignored.Add(block.PathOf("type")[..^".type".Length]);
                    continue;
                default:
                    throw Refuse(block, type, path);
            }

            block.Close(ignored);
        }

        return new ChatMessage
        {
            Role = ChatRole.Assistant,
            Text = texts.Count == 0 && calls.Count > 0 ? null : string.Join('\n', texts),
            ToolCalls = calls.Count > 0 ? calls : null,
            Reasoning = thinking.Count > 0 ? string.Join('\n', thinking) : null,
        };
    }

    private static string ReadThinking(JsonFields block)
    {
        string thinking = block.RequireSaid("thinking");
        if (block.String("signature") is { } signature && !ThinkingSignature.Fits(signature, thinking))
            throw RequestProblem.Invalid($"{{where}} is of another text: thinking must come back as it was sent.", block.PathOf("signature"), "invalid_value");
        return thinking;
    }

    private static ChatToolCall ReadCall(JsonFields block, List<string> ignored)
    {
        JsonElement input = block.Require("input");
        if (input.ValueKind != JsonValueKind.Object)
            throw JsonValue.WrongType(input, block.PathOf("input"), "an object");
        if (block.Object("caller") is { } caller)
        {
            if (caller.RequireString("type") is not "direct")
                throw RequestProblem.Unsupported(caller.PathOf("type"), "only the model itself calls.");
            caller.Close(ignored);
        }

        TakeCacheControl(block);
        return new ChatToolCall(block.RequireString("id"), block.RequireString("name"), input.GetRawText());
    }

    /// <summary>A text, or text blocks a line each.</summary>
    /// <param name="isResult">What a tool gave: what it gave beside its text is left out.</param>
    private static string ReadText(JsonElement content, string path, List<string> ignored, bool isResult = false)
    {
        if (content.ValueKind == JsonValueKind.String)
            return JsonValue.Said(content, path);
        List<string> texts = [];
        foreach ((JsonFields block, string type) in Blocks(content, path, 0))
        {
            if (type == "text")
            {
                texts.Add(TextOf(block));
                block.Close(ignored);
            }
            // What a tool gave beside its text: the model could not see it, and the text still counts.
            else if (isResult && type is ("image" or "document" or "search_result" or "tool_reference"))
                ignored.Add(block.PathOf("type")[..^".type".Length]);
            else
                throw Refuse(block, type, path);
        }

        return string.Join('\n', texts);
    }

    private static string TextOf(JsonFields block)
    {
        if (block.Array("citations", 0, MaxBlocks) is { Count: > 0 })
            throw RequestProblem.Unsupported(block.PathOf("citations"), "texts are read without their sources.");
        TakeCacheControl(block);
        return block.RequireSaid("text");
    }

    private static IEnumerable<(JsonFields Block, string Type)> Blocks(JsonElement content, string path, int min)
    {
        if (content.ValueKind != JsonValueKind.Array)
            throw JsonValue.WrongType(content, path, "a string or an array of content blocks");
        foreach ((JsonElement value, string blockPath) in JsonFields.Items(content, path, min, MaxBlocks))
        {
            JsonFields block = new(value, blockPath);
            yield return (block, block.RequireString("type"));
        }
    }

    private static RequestProblem Refuse(JsonFields block, string type, string path)
    {
        string blockPath = block.PathOf("type")[..^".type".Length];
        return type is "image" or "document" or "search_result" or "redacted_thinking"
            ? RequestProblem.Unsupported(blockPath, $"the model reads text only, not '{type}'.")
            : RequestProblem.Invalid($"{{where}} is of type '{(type.Length <= 40 ? type : type[..40] + "...")}', which '{path}' cannot hold.", blockPath, "invalid_value");
    }
}
