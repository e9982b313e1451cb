using System.Text;
using System.Text.Json;
using InferenceServer.Chat;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>Items as the messages that a chat template knows. What one reply was made of (reasoning, text, calls) becomes one assistant message again.</summary>
internal sealed class ResponseMessages
{
    private const string SummaryHead = "Summary of the conversation so far:\n";

    private readonly List<ChatMessage> _messages = [];
    private readonly List<ChatToolCall> _calls = [];
    private readonly HashSet<string> _callIds = [];
    private string? _reasoning;
    private string? _content;

    /// <param name="items">Oldest first.</param>
    /// <exception cref="RequestProblem">400: an output belongs to no call.</exception>
    public static List<ChatMessage> Of(string? instructions, IEnumerable<ResponseItem> items)
    {
        ResponseMessages messages = new();
        if (instructions is not null)
            messages._messages.Add(new ChatMessage { Role = ChatRole.System, Text = instructions });
        foreach (ResponseItem item in items)
            messages.Add(item);
        messages.EndReply();
        return messages._messages;
    }

    private void Add(ResponseItem item)
    {
        switch (item.Type)
        {
            case ResponseItem.Reasoning:
                if (_content is not null || _calls.Count > 0)
                    EndReply();
                _reasoning += item.Content is { Count: > 0 } ? item.Text() : string.Concat((item.Summary ?? []).Select(part => part.Text));
                break;
            case ResponseItem.Message when item.Role == "assistant":
                if (_content is not null || _calls.Count > 0)
                    EndReply();
                _content = item.Text();
                break;
            case ResponseItem.FunctionCall:
                AddCall(item);
                break;
            case ResponseItem.FunctionCallOutput:
                EndReply();
                if (!_callIds.Contains(item.CallId!))
                    throw RequestProblem.Invalid($"No function_call has the call_id '{item.CallId}' of this function_call_output.", "input", "invalid_value");
                _messages.Add(new ChatMessage { Role = ChatRole.Tool, Text = item.OutputText(), ToolCallId = item.CallId });
                break;
            case ResponseItem.Compaction:
                EndReply();
                _messages.Add(new ChatMessage { Role = ChatRole.System, Text = SummaryHead + OpaqueText.Read(item.EncryptedContent!, "input") });
                break;
            default:
                EndReply();
                _messages.Add(new ChatMessage { Role = ChatRoles.Of(item.Role!), Text = item.Text() });
                break;
        }
    }

    private void AddCall(ResponseItem item)
    {
        // A call that was cut off is no JSON: templates cannot render it, and no one can have answered it.
        if (item.Status == ResponseItem.Incomplete && !IsObject(item.Arguments!))
            return;
        _callIds.Add(item.CallId!);
        _calls.Add(new ChatToolCall(item.CallId!, item.Name!, item.Arguments!));
    }

    private void EndReply()
    {
        if (_reasoning is not null || _content is not null || _calls.Count > 0)
            _messages.Add(new ChatMessage
            {
                Role = ChatRole.Assistant,
                Text = _content ?? (_calls.Count > 0 ? null : ""),
                Reasoning = _reasoning,
                ToolCalls = _calls.Count > 0 ? [.. _calls] : null,
            });
        (_reasoning, _content) = (null, null);
        _calls.Clear();
    }

    private static bool IsObject(string arguments)
    {
        try
        {
            Utf8JsonReader reader = new(Encoding.UTF8.GetBytes(arguments));
            return reader.Read() && reader.TokenType == JsonTokenType.StartObject && reader.TrySkip() && !reader.Read();
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
