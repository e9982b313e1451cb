using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using InferenceServer.Chat.Replies;
using InferenceServer.Chat.Templates;

namespace InferenceServer.Chat;

/// <summary>
/// For templates that know no tools, or not all of them: definitions go into the system message, calls and their results into the text of messages, in the
/// notation that replies are read by.
/// </summary>
internal static class ToolsInText
{
    /// <summary>The conversation as the template can take it.</summary>
    public static ChatConversation Apply(ChatConversation conversation, ChatTemplateFeatures features, ToolCallFormat format)
    {
        bool tells = conversation.Tools.Count > 0 && !features.TakesTools;
        if (!tells && !conversation.Messages.Any(message => (message.ToolCalls is not null && !features.TakesToolCalls) || (message.Role == ChatRole.Tool && !features.TakesToolRole)))
            return conversation;
        List<ChatMessage> messages = [];
        bool isResult = false; // the last message is a user's that holds results
        foreach (ChatMessage message in conversation.Messages)
        {
            if (message.Role == ChatRole.Tool && !features.TakesToolRole)
            {
                string result = $"<tool_response>\n{message.Text}\n</tool_response>";
                AddUser(result, joins: isResult);
                isResult = true;
                continue;
            }

            // Many templates insist that user and assistant take turns.
            if (message.Role == ChatRole.User && isResult)
                AddUser(message.Text ?? "", joins: true);
            else
                messages.Add(message.ToolCalls is { } calls && !features.TakesToolCalls ? message with { ToolCalls = null, Text = Join(message.Text, Write(format, calls)) } : message);
            isResult = false;
        }

        if (tells && messages is [{ Role: ChatRole.System or ChatRole.Developer } first, ..])
            messages[0] = first with { Text = $"{first.Text}\n\n{Instructions(conversation.Tools, format)}" };
        else if (tells)
            messages.Insert(0, new ChatMessage { Role = ChatRole.System, Text = Instructions(conversation.Tools, format) });
        return conversation with { Messages = messages, Tools = tells ? [] : conversation.Tools };

        void AddUser(string text, bool joins)
        {
            if (joins)
                messages[^1] = messages[^1] with { Text = $"{messages[^1].Text}\n{text}" };
            else
                messages.Add(new ChatMessage { Role = ChatRole.User, Text = text });
        }
    }

    private static string Join(string? content, string calls) => string.IsNullOrEmpty(content) ? calls : $"{content}\n{calls}";

    private static string Write(ToolCallFormat format, IReadOnlyList<ChatToolCall> calls)
    {
        List<JsonDocument> documents = [.. calls.Select(call => JsonDocument.Parse(call.Arguments))];
        try
        {
            return CallWriter.Write(format, [.. calls.Select((call, i) => (call.Name, call.Id, documents[i].RootElement))]);
        }
        finally
        {
            documents.ForEach(document => document.Dispose());
        }
    }

    private static string Instructions(IReadOnlyList<ChatTool> tools, ToolCallFormat format)
    {
        StringBuilder text = new("You may call these functions, one JSON schema a line:\n<tools>\n");
        foreach (ChatTool tool in tools)
            text.Append(Definition(tool)).Append('\n');
        using JsonDocument example = JsonDocument.Parse("""{"argument": "value"}""");
        return text.Append("</tools>\n\nTo call one, write exactly this, with its name and its arguments:\n")
            .Append(CallWriter.Write(format, [("name", "id0000001", example.RootElement)]).TrimStart()).ToString();
    }

    public static string Definition(ChatTool function)
    {
        ArrayBufferWriter<byte> bytes = new();
        using (Utf8JsonWriter json = new(bytes, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("type", "function");
            json.WriteStartObject("function");
            json.WriteString("name", function.Name);
            if (function.Description is { } description)
                json.WriteString("description", description);
            json.WritePropertyName("parameters");
            if (function.Parameters is { } parameters)
                parameters.WriteTo(json);
            else
                json.WriteRawValue("""{"type":"object","properties":{}}""");
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(bytes.WrittenSpan);
    }
}
