using System.Text;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;

namespace InferenceServer.Chat;

/// <summary>A whole reply: one choice.</summary>
/// <param name="Text">What was said; null when nothing was but calls were made, and when the reply was refused.</param>
/// <param name="Reasoning">What was thought in the open; null when nothing was.</param>
/// <param name="ToolCalls">In the order they were made. The last may be cut off when the reply is.</param>
/// <param name="Logprobs">Of every token, where they were asked for, reasoning and calls included.</param>
public sealed record WholeReply(string? Text, string? Reasoning, IReadOnlyList<ChatToolCall> ToolCalls, IReadOnlyList<TokenLogprobs> Logprobs, ReplyEnd End)
{
    /// <summary>What is said instead, where moderation refused the conversation or the reply; nothing else is there then.</summary>
    public string? Refusal { get; init; }

    /// <summary>Calls that the server ran itself, with their results, and those that wait for an approval.</summary>
    public IReadOnlyList<HostedCall> HostedCalls { get; init; } = [];
}

/// <summary>Puts the events of all choices together.</summary>
internal sealed class ReplyCollector(int choices)
{
    private readonly Collected[] _choices = [.. Enumerable.Range(0, choices).Select(_ => new Collected())];

    public void Add(in ReplyEvent read)
    {
        Collected choice = _choices[read.Choice];
        if (read.Kind == ReplyEventKind.Finish)
            choice.End = read.End;
        if (read.Hosted is { } call && (read.Kind == ReplyEventKind.HostedResult || call.AwaitsApproval))
            choice.HostedCalls.Add(call);
        if (read.Kind != ReplyEventKind.Delta)
            return;
        choice.Add(read.Resumes ? read.Delta with { Text = read.JoinedText } : read.Delta);
        if (read.Logprobs is { } logprobs)
            choice.Logprobs.Add(logprobs);
    }

    /// <summary>In choice order, once every choice has ended.</summary>
    public WholeReply[] Replies() => Array.ConvertAll(_choices, choice => choice.Whole());

    private sealed class Collected
    {
        private readonly StringBuilder _content = new();
        private readonly StringBuilder _reasoning = new();
        private readonly List<(string Name, string Id, StringBuilder Arguments)> _calls = [];
        private string? _refusal;

        public List<TokenLogprobs> Logprobs { get; } = [];

        public List<HostedCall> HostedCalls { get; } = [];

        public ReplyEnd? End { get; set; }

        public void Add(in ReplyDelta delta)
        {
            if (delta.Kind == ReplyDeltaKind.Content)
                _content.Append(delta.Text);
            else if (delta.Kind == ReplyDeltaKind.Reasoning)
                _reasoning.Append(delta.Text);
            else if (delta.Kind == ReplyDeltaKind.CallBegin)
                _calls.Add((delta.Text, delta.Id!, new StringBuilder()));
            else if (delta.Kind == ReplyDeltaKind.CallArguments)
                _calls[delta.Call].Arguments.Append(delta.Text);
            else if (delta.Kind == ReplyDeltaKind.Refusal)
                _refusal = delta.Text;
        }

        public WholeReply Whole()
        {
            ReplyEnd end = End ?? throw GenerationOutcome.Problem(null)!;
            return _refusal is not null ? new(null, null, [], [], end) { Refusal = _refusal } : new(
                _content.Length == 0 && _calls.Count > 0 ? null : _content.ToString(),
                _reasoning.Length == 0 ? null : _reasoning.ToString(),
                _calls.ConvertAll(call => new ChatToolCall(call.Id, call.Name, call.Arguments.ToString())),
                Logprobs, end)
            {
                HostedCalls = HostedCalls,
            };
        }
    }
}
