using System.Text;
using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Mcp;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>Items as the messages that a chat template knows. What one reply was made of (reasoning, text, calls) becomes one assistant message again.</summary>
internal sealed class ResponseMessages
{
    private const string SummaryHead = "Summary of the conversation so far:\n";

    private readonly List<ChatMessage> _messages = [];
    private readonly List<ChatToolCall> _calls = [];
    private readonly HashSet<string> _callIds = [];

    // By the id of the request: what was decided, and whether the call has run since.
    private readonly Dictionary<string, ResponseItem> _decided = [];
    private readonly HashSet<string> _ran = [];
    private readonly List<ResponseItem> _approved = [];
    private string? _reasoning;
    private string? _content;

    /// <param name="items">Oldest first.</param>
    /// <exception cref="RequestProblem">400: an output belongs to no call.</exception>
    public static List<ChatMessage> Of(string? instructions, IEnumerable<ResponseItem> items) => Of(instructions, [.. items], out _);

    /// <param name="approved">Requests for an approval that was given, and whose calls have yet to run. For the result of each there is a message with no text.</param>
    public static List<ChatMessage> Of(string? instructions, IReadOnlyList<ResponseItem> items, out IReadOnlyList<ResponseItem> approved)
    {
        ResponseMessages messages = new();
        approved = messages._approved;
        foreach (ResponseItem item in items)
            if (item is { Type: ResponseItem.McpApprovalResponse })
                messages._decided[item.ApprovalRequestId!] = item;
            else if (item is { Type: ResponseItem.McpCall, ApprovalRequestId: { } request })
                messages._ran.Add(request);
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
            case ResponseItem.McpListTools:
                // What tools there are now is the request's matter.
                break;
            case ResponseItem.McpCall:
                _calls.Add(new ChatToolCall(item.Id, McpServers.OfferedName(item.ServerLabel!, item.Name!), item.Arguments!));
                EndReply();
                _messages.Add(new ChatMessage { Role = ChatRole.Tool, Text = item.McpResultText(), ToolCallId = item.Id });
                break;
            case ResponseItem.McpApprovalRequest:
                AddRequest(item);
                break;
            case ResponseItem.McpApprovalResponse:
                AddDecision(item);
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

    /// <summary>A call that nobody has decided on was never made; one that has run is said where its result is.</summary>
    private void AddRequest(ResponseItem request)
    {
        if (!_decided.TryGetValue(request.Id, out ResponseItem? decision) || _ran.Contains(request.Id))
            return;
        _callIds.Add(request.Id);
        _calls.Add(new ChatToolCall(request.Id, McpServers.OfferedName(request.ServerLabel!, request.Name!), request.Arguments!));
        if (decision.Approve == true)
            _approved.Add(request);
    }

    private void AddDecision(ResponseItem decision)
    {
        if (_ran.Contains(decision.ApprovalRequestId!))
            return;
        EndReply();
        if (!_callIds.Remove(decision.ApprovalRequestId!))
            throw RequestProblem.Invalid($"No mcp_approval_request has the id '{decision.ApprovalRequestId}' of this mcp_approval_response.", "input", "invalid_value");
        string declined = decision.Reason is { Length: > 0 } reason ? $"The user declined this call: {reason}" : "The user declined this call.";
        _messages.Add(new ChatMessage { Role = ChatRole.Tool, Text = decision.Approve == true ? "" : declined, ToolCallId = decision.ApprovalRequestId });
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
