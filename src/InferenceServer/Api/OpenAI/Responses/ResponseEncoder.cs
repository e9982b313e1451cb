using System.Text;
using System.Text.Json;
using InferenceServer.Api.Streaming;
using InferenceServer.Chat;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;
using InferenceServer.Mcp;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>
/// A reply's deltas as output items and the events about them. One item is open at a time; whatever of another kind comes closes it. A reply that says nothing
/// is an empty message.
/// </summary>
/// <param name="events">What happens is written to it.</param>
/// <param name="lists">Tools of MCP servers that the conversation has not been told of yet: the first items.</param>
/// <param name="begin">Called before the first item.</param>
internal sealed class ResponseEncoder(
    ServedVocabulary vocabulary, ResponseEventWriter events, ResponseRequest request, IReadOnlyList<(string Server, IReadOnlyList<McpTool> Tools)> lists, Action begin) : IReplyEncoder
{
    // Where a summary is asked for, the reasoning stands in its place: no summary says more.
    private readonly bool _summarises = request.Reasoning?.Summary is not null;
    private readonly List<ResponseItem> _output = [];
    private readonly StringBuilder _text = new();
    private readonly List<ReportedLogprob> _logprobs = [];

    // Of tokens whose text is not known yet: it may be a message's, or part of a marker.
    private readonly List<ReportedLogprob> _pending = [];
    private ResponseItem? _open;

    /// <summary>The items that are whole, or as whole as the reply is.</summary>
    public IReadOnlyList<ResponseItem> Output => _output;

    /// <summary>How the reply ended; null while it goes on.</summary>
    public ReplyEnd? ReplyEnd { get; private set; }

    public void Write(in ReplyEvent read)
    {
        if (read.Kind == ReplyEventKind.Begin)
            Begin();
        else if (read.Kind == ReplyEventKind.Delta)
            Delta(read.Delta, read.Logprobs);
        else if (read.Hosted is { AwaitsApproval: true } waiting)
            Ask(waiting);
        else if (read.Hosted is { Result: { } result })
            Answer(result);
        else if (read.Hosted is { } call)
            Call(call);
        else
            Finish(read.End!);
    }

    private void Begin()
    {
        begin();
        foreach ((string server, IReadOnlyList<McpTool> tools) in lists)
        {
            ResponseItem item = new() { Id = ResponseItem.NewId(ResponseItem.McpListTools), Type = ResponseItem.McpListTools, ServerLabel = server, Tools = ResponseMcpTool.Of([]) };
            events.Item("response.output_item.added", _output.Count, item);
            events.Progress("response.mcp_list_tools.in_progress", item.Id, _output.Count);
            events.Progress("response.mcp_list_tools.completed", item.Id, _output.Count);
            Add(item with { Tools = ResponseMcpTool.Of(tools) });
        }
    }

    private void Ask(HostedCall call)
    {
        Close(ResponseItem.Completed);
        ResponseItem item = new()
        {
            Id = ResponseItem.NewId(ResponseItem.McpApprovalRequest),
            Type = ResponseItem.McpApprovalRequest,
            ServerLabel = call.Tool.Server,
            Name = call.Tool.Name,
            Arguments = call.Arguments,
        };
        events.Item("response.output_item.added", _output.Count, item);
        Add(item);
    }

    private void Call(HostedCall call)
    {
        Open(new ResponseItem
        {
            Id = ResponseItem.NewId(ResponseItem.McpCall),
            Type = ResponseItem.McpCall,
            ServerLabel = call.Tool.Server,
            Name = call.Tool.Name,
            Arguments = "",
            ApprovalRequestId = call.Approval,
        });
        events.Progress("response.mcp_call.in_progress", _open!.Id, _output.Count);
        events.Arguments("response.mcp_call_arguments.delta", _open.Id, _output.Count, "delta", call.Arguments, null);
        events.Arguments("response.mcp_call_arguments.done", _open.Id, _output.Count, "arguments", call.Arguments, null);
        _open = _open with { Arguments = call.Arguments };
    }

    private void Answer(HostedResult result)
    {
        _open = result.IsError
            ? _open! with { Error = JsonSerializer.SerializeToElement(new ResponseMcpError("mcp_tool_execution_error", [new ResponseMcpText("text", result.Text)]), ResponsesJson.Wire.ResponseMcpError) }
            : _open! with { Output = JsonSerializer.SerializeToElement(result.Text, ResponsesJson.Wire.String) };
        events.Progress(result.IsError ? "response.mcp_call.failed" : "response.mcp_call.completed", _open.Id, _output.Count);
        Close(result.IsError ? ResponseItem.Failed : ResponseItem.Completed);
    }

    private void Delta(in ReplyDelta delta, TokenLogprobs? logprobs)
    {
        if (request.Chat.Options.TopLogprobs is not null && logprobs is not null)
            _pending.Add(ReportedLogprob.Of(vocabulary, logprobs));
        switch (delta.Kind)
        {
            case ReplyDeltaKind.Content:
                Say(delta.Text);
                break;
            case ReplyDeltaKind.Reasoning:
                Think(delta.Text);
                break;
            case ReplyDeltaKind.CallBegin:
                Open(new ResponseItem { Id = ResponseItem.NewId(ResponseItem.FunctionCall), Type = ResponseItem.FunctionCall, CallId = delta.Id, Name = delta.Text, Arguments = "" });
                break;
            case ReplyDeltaKind.CallArguments:
                _text.Append(delta.Text);
                _pending.Clear();
                events.Arguments("response.function_call_arguments.delta", _open!.Id, _output.Count, "delta", delta.Text, null);
                break;
            case ReplyDeltaKind.Refusal:
                Refuse(delta.Text);
                break;
            default:
                Close(ResponseItem.Completed);
                break;
        }
    }

    private void Finish(ReplyEnd end)
    {
        if (_output.Count == lists.Count && _open is null)
            OpenMessage();
        Close(end.Finish is ReplyFinish.Length or ReplyFinish.ContentFilter ? ResponseItem.Incomplete : ResponseItem.Completed);
        ReplyEnd = end;
    }

    public void End(ReadOnlySpan<ReplyEnd> ends)
    {
    }

    /// <summary>The reply will not go on: what there is of it stays.</summary>
    public void Error(RequestProblem error) => Close(ResponseItem.Incomplete);

    private void Say(string text)
    {
        if (text.Length == 0)
            return;
        if (_open?.Type != ResponseItem.Message)
            OpenMessage();
        _text.Append(text);
        IReadOnlyList<ReportedLogprob> logprobs = TakeLogprobs(text);
        _logprobs.AddRange(logprobs);
        events.Text("response.output_text.delta", _open!.Id, _output.Count, "delta", text, logprobs);
    }

    /// <summary>Those of the tokens that the text came from: of what is pending the last ones, as many as make up its bytes. Before them are markers.</summary>
    private List<ReportedLogprob> TakeLogprobs(string text)
    {
        int first = _pending.Count;
        for (int bytes = Encoding.UTF8.GetByteCount(text); bytes > 0 && first > 0; bytes -= _pending[first].Bytes.Count)
            first--;
        List<ReportedLogprob> taken = _pending[first..];
        _pending.Clear();
        return taken;
    }

    private void Think(string text)
    {
        _pending.Clear();
        if (text.Length == 0)
            return;
        if (_open?.Type != ResponseItem.Reasoning)
        {
            Open(new ResponseItem { Id = ResponseItem.NewId(ResponseItem.Reasoning), Type = ResponseItem.Reasoning, Summary = [], Content = _summarises ? null : [] });
            events.Part(_summarises ? "response.reasoning_summary_part.added" : "response.content_part.added", _open!.Id, _output.Count, Thought(""));
        }

        _text.Append(text);
        events.Text(_summarises ? "response.reasoning_summary_text.delta" : "response.reasoning_text.delta", _open!.Id, _output.Count, "delta", text, null);
    }

    private ResponseContent Thought(string text) => _summarises ? ResponseContent.SummaryOf(text) : ResponseContent.Thought(text);

    /// <summary>A message of its own: what was said before it stays as it was cut.</summary>
    private void Refuse(string text)
    {
        Close(ResponseItem.Incomplete);
        Open(new ResponseItem { Id = ResponseItem.NewId(ResponseItem.Message), Type = ResponseItem.Message, Role = "assistant", Content = [] });
        ResponseContent part = new("refusal") { Refusal = text };
        events.Part("response.content_part.added", _open!.Id, _output.Count, part with { Refusal = "" });
        events.Text("response.refusal.delta", _open.Id, _output.Count, "delta", text, null);
        events.Text("response.refusal.done", _open.Id, _output.Count, "refusal", text, null);
        events.Part("response.content_part.done", _open.Id, _output.Count, part);
        Add(_open with { Content = [part], Status = ResponseItem.Completed });
        _open = null;
    }

    private void OpenMessage()
    {
        Open(new ResponseItem { Id = ResponseItem.NewId(ResponseItem.Message), Type = ResponseItem.Message, Role = "assistant", Content = [] });
        events.Part("response.content_part.added", _open!.Id, _output.Count, ResponseContent.Output(""));
    }

    private void Open(ResponseItem item)
    {
        Close(ResponseItem.Completed);
        if (item.Type != ResponseItem.Message)
            _pending.Clear();
        _open = item with { Status = ResponseItem.InProgress };
        events.Item("response.output_item.added", _output.Count, _open);
    }

    private void Add(ResponseItem item)
    {
        events.Item("response.output_item.done", _output.Count, item);
        _output.Add(item);
    }

    private void Close(string status)
    {
        if (_open is not { } item)
            return;
        string text = _text.ToString();
        switch (item.Type)
        {
            case ResponseItem.McpCall:
                break;
            case ResponseItem.FunctionCall:
                item = item with { Arguments = text };
                events.Arguments("response.function_call_arguments.done", item.Id, _output.Count, "arguments", text, item.Name);
                break;
            case ResponseItem.Reasoning:
                item = _summarises ? item with { Summary = [Thought(text)] } : item with { Content = [Thought(text)] };
                item = item with { EncryptedContent = request.IncludesEncryptedReasoning ? OpaqueText.Write(text) : null };
                events.Text(_summarises ? "response.reasoning_summary_text.done" : "response.reasoning_text.done", item.Id, _output.Count, "text", text, null);
                events.Part(_summarises ? "response.reasoning_summary_part.done" : "response.content_part.done", item.Id, _output.Count, Thought(text));
                break;
            default:
                ReportedLogprob[] logprobs = [.. _logprobs];
                item = item with { Content = [ResponseContent.Output(text, logprobs)] };
                events.Text("response.output_text.done", item.Id, _output.Count, "text", text, logprobs);
                events.Part("response.content_part.done", item.Id, _output.Count, item.Content[0]);
                break;
        }

        Add(item with { Status = status });
        _open = null;
        _text.Clear();
        _logprobs.Clear();
    }
}
