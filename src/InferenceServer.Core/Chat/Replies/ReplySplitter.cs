// Takes a reply apart as its text comes: content, reasoning, tool calls. Owned by one choice of one request. Holds back only what could be the beginning
// of a marker, white space before one, and calls that may still turn out to be none. Always: a text that is no well-formed call comes out as content.

namespace InferenceServer.Chat.Replies;

public enum ReplyDeltaKind
{
    Content,
    Reasoning,

    /// <summary>A call begins: <see cref="ReplyDelta.Text"/> is the function's name, <see cref="ReplyDelta.Id"/> the call's id.</summary>
    CallBegin,

    /// <summary>More JSON text of the arguments.</summary>
    CallArguments,

    /// <summary>The call is whole. A reply that was cut within a call has none for it.</summary>
    CallEnd,

    /// <summary>What is said instead, where moderation does not let the reply pass; nothing follows.</summary>
    Refusal,
}

/// <param name="Call">Which call of the reply, from 0; -1 when it is about none.</param>
public readonly record struct ReplyDelta(ReplyDeltaKind Kind, string Text, int Call = -1, string? Id = null);

/// <summary>What a reply is split by.</summary>
public sealed record ReplySplitOptions
{
    /// <summary>The functions that may be called; without any, calls are not looked for.</summary>
    public IReadOnlyList<ToolSignature> Tools { get; init; } = [];

    public ReplyOpening Opening { get; init; }

    /// <summary>
    /// The engine holds every call to its format and schema: arguments are passed on as they come. Else a call is held back until it is known to be one.
    /// </summary>
    public bool CallsAreConstrained { get; init; }

    /// <summary>The engine holds content to a constraint: from its first character on nothing in it is a marker.</summary>
    public bool ContentIsConstrained { get; init; }

    public Func<string> NewCallId { get; init; } = static () => $"call_{Guid.NewGuid():N}"[..29];
}

/// <summary>Splits one reply.</summary>
public sealed class ReplySplitter
{
    private enum Mode
    {
        Content,
        Reasoning,
        Call,

        /// <summary>Between two calls of a section.</summary>
        Section,
    }

    private readonly ReplyFormat _format;
    private readonly ReplySplitOptions _options;
    private readonly ReplyMarkers _markers;
    private readonly Dictionary<string, ToolSignature> _tools;
    private readonly ReplyBuffer _buffer = new();
    private Mode _mode;
    private string _space = "";       // White space that was read and is dropped before a marker.
    private bool _skipsSpace;         // A marker came last: what follows begins without white space.
    private bool _atStart = true;     // Nothing was said since the reply or a marker began.

    private CallReader? _reader;
    private CallOutput? _output;
    private ReplyMarker? _callMarker;
    private int _openLength;
    private bool _callBegun;
    private string _callId = "";

    public ReplySplitter(ReplyFormat format, ReplySplitOptions options)
    {
        _format = format;
        _options = options;
        _tools = options.Tools.DistinctBy(tool => tool.Name).ToDictionary(tool => tool.Name);
        _markers = new ReplyMarkers(format, withCalls: _tools.Count > 0);
        if (options.Opening == ReplyOpening.Reasoning)
            Enter(Mode.Reasoning);
        else if (options.Opening == ReplyOpening.Call)
            _buffer.Append(format.Calls[0].Open);
    }

    /// <summary>Whether the reply is within its reasoning at the moment.</summary>
    public bool IsReasoning => _mode == Mode.Reasoning;

    /// <summary>Tokens that reasoning and its markers took so far.</summary>
    public int ReasoningTokens { get; private set; }

    /// <summary>Calls that have begun.</summary>
    public int CallCount { get; private set; }

    /// <summary>Takes the next piece of the reply.</summary>
    /// <param name="deltas">What is now known is added to it.</param>
    /// <param name="tokens">How many tokens the piece is.</param>
    public void Append(ReadOnlySpan<char> text, List<ReplyDelta> deltas, int tokens = 1)
    {
        bool wasReasoning = IsReasoning;
        int known = deltas.Count;
        _buffer.Append(text);
        Advance(deltas);
        // A piece may hold all of the reasoning, from one marker to the other.
        if (wasReasoning || IsReasoning || deltas.FindIndex(known, static delta => delta.Kind == ReplyDeltaKind.Reasoning) >= 0)
            ReasoningTokens += tokens;
    }

    /// <summary>Nothing more will come: decides on what was held back.</summary>
    public void Finish(List<ReplyDelta> deltas)
    {
        _buffer.IsLast = true;
        Advance(deltas);
        if (_mode is Mode.Content or Mode.Reasoning && !_skipsSpace && _space.Length > 0)
            deltas.Add(new(IsReasoning ? ReplyDeltaKind.Reasoning : ReplyDeltaKind.Content, _space));
        _space = "";
    }

    private void Advance(List<ReplyDelta> deltas)
    {
        bool goesOn = true;
        while (goesOn)
            goesOn = _mode switch
            {
                Mode.Content => ReadContent(deltas),
                Mode.Reasoning => ReadReasoning(deltas),
                Mode.Call => ReadCall(deltas),
                _ => ReadSection(),
            };
    }

    private void Enter(Mode mode)
    {
        (_mode, _skipsSpace, _atStart, _space) = (mode, true, true, "");
        _buffer.Commit();
    }

    private bool ReadContent(List<ReplyDelta> deltas)
    {
        ReadOnlySpan<char> rest = _buffer.Rest;
        for (int at = 0; at < rest.Length; at++)
        {
            int found = rest[at..].IndexOfAny(_markers.FirstCharacters);
            if (found < 0)
                break;
            at += found;
            bool atStart = _atStart && rest[..at].IsWhiteSpace();
            if (_options.ContentIsConstrained && !atStart)
                break;
            switch (_markers.Match(rest[at..], atStart, _buffer.IsLast, _options.CallsAreConstrained, out ReplyMarker? marker, out int length))
            {
                case MarkerMatch.Partial:
                    Say(rest[..at], ReplyDeltaKind.Content, deltas);
                    _buffer.Consume(at);
                    _buffer.Commit();
                    return false;
                case MarkerMatch.Full:
                    Say(rest[..at], ReplyDeltaKind.Content, deltas);
                    _buffer.Consume(at);
                    _buffer.Commit();
                    _buffer.Consume(length);
                    Open(marker!);
                    return true;
            }
        }

        Say(rest, ReplyDeltaKind.Content, deltas);
        _buffer.Consume(rest.Length);
        _buffer.Commit();
        return false;
    }

    private void Open(ReplyMarker marker)
    {
        if (marker.Kind == ReplyMarkerKind.Call)
            BeginCall(marker);
        else
            Enter(marker.Kind == ReplyMarkerKind.Reasoning ? Mode.Reasoning : Mode.Content);
    }

    private bool ReadReasoning(List<ReplyDelta> deltas)
    {
        ReadOnlySpan<char> rest = _buffer.Rest;
        // Some models open what their prompt has opened already.
        if (_atStart && _format.Reasoning!.Open.Trim() is { Length: > 0 } open && MarkerText.Match(rest, open, out int again) is not MarkerMatch.None and var match)
        {
            if (match == MarkerMatch.Full)
            {
                _buffer.Consume(again);
                Enter(Mode.Reasoning);
                return true;
            }

            if (!_buffer.IsLast)
                return false;
        }

        MarkerMatch close = MarkerText.Find(rest, _format.Reasoning!.Close.Trim(), out int index, out int length);
        if (close == MarkerMatch.Partial && _buffer.IsLast)
            index = rest.Length;
        Say(rest[..index], ReplyDeltaKind.Reasoning, deltas);
        _buffer.Consume(index);
        _buffer.Commit();
        if (close != MarkerMatch.Full)
            return false;
        _buffer.Consume(length);
        Enter(Mode.Content);
        return true;
    }

    /// <summary>The marker was consumed and not committed, so that it can be taken back.</summary>
    private void BeginCall(ReplyMarker marker)
    {
        _callMarker = marker;
        _openLength = Math.Max(1, _buffer.Consumed.Length);
        _output = new CallOutput(_tools);
        _reader = new CallReader(marker.Format!, _output, isUnmarked: marker.AtStart);
        _callBegun = false;
        _mode = Mode.Call;
    }

    private bool ReadCall(List<ReplyDelta> deltas)
    {
        ReadStatus status = _reader!.Read(_buffer);
        bool isGuarded = IsGuarded();
        if (status == ReadStatus.Done && (isGuarded || !_options.CallsAreConstrained) || (_output!.Tool is not null && isGuarded))
            PassOn(deltas);
        if (status == ReadStatus.NeedMore)
            return false;
        if (status == ReadStatus.Done && _callBegun)
            deltas.Add(new(ReplyDeltaKind.CallEnd, "", CallCount - 1));
        else if (isGuarded && _buffer.IsLast)
            _buffer.Consume(_buffer.Rest.Length); // cut off within its notation, which is nobody's content
        else if (!_callBegun)
            return TakeBack(deltas);
        Enter(_callMarker!.IsInSection && status == ReadStatus.Done ? Mode.Section : Mode.Content);
        return true;
    }

    /// <summary>Whether the engine holds the call to its format: it watches for the marker, or for the first key where a call is nothing but its object.</summary>
    private bool IsGuarded() => _options.CallsAreConstrained
        && (_callBegun || !_callMarker!.IsBrace || MarkerText.Match(_buffer.Consumed, _callMarker.Stem, out _) == MarkerMatch.Full);

    private void PassOn(List<ReplyDelta> deltas)
    {
        if (!_callBegun)
        {
            (_callBegun, _callId, _space) = (true, _options.NewCallId(), "");
            deltas.Add(new(ReplyDeltaKind.CallBegin, _output!.Tool!.Name, CallCount++, _callId));
        }

        if (_output!.Arguments.Length == 0)
            return;
        deltas.Add(new(ReplyDeltaKind.CallArguments, _output.Arguments.ToString(), CallCount - 1, _callId));
        _output.Arguments.Clear();
    }

    /// <summary>It was no call: its marker is content, and what followed is read again.</summary>
    private bool TakeBack(List<ReplyDelta> deltas)
    {
        _buffer.Rewind();
        _mode = Mode.Content;
        Say(_buffer.Rest[.._openLength], ReplyDeltaKind.Content, deltas);
        _buffer.Consume(_openLength);
        _buffer.Commit();
        return true;
    }

    private bool ReadSection()
    {
        _buffer.ConsumeSpace();
        ReadOnlySpan<char> rest = _buffer.Rest;
        if (rest.IsEmpty)
            return false;
        ToolCallFormat format = _callMarker!.Format!;
        MarkerMatch close = Match(rest, format.SectionClose.Trim(), out int closeLength);
        MarkerMatch next = MatchNext(rest, format, out int nextLength);
        if (close != MarkerMatch.Full && (close == MarkerMatch.Partial || next == MarkerMatch.Partial) && !_buffer.IsLast)
            return false;
        if (close == MarkerMatch.None && next == MarkerMatch.Full)
        {
            _buffer.Consume(nextLength);
            BeginCall(_callMarker with { AtStart = false });
            return true;
        }

        if (close != MarkerMatch.None)
            _buffer.Consume(close == MarkerMatch.Full ? closeLength : rest.Length);
        Enter(Mode.Content);
        return true;
    }

    private static MarkerMatch MatchNext(ReadOnlySpan<char> text, ToolCallFormat format, out int length)
    {
        string next = (format.Separator + format.Layout.Prefix).Trim();
        if (next.Length > 0)
            return Match(text, next, out length);
        length = 0;
        return (format.Layout.IsObject ? text[0] == '{' : char.IsAsciiLetter(text[0])) ? MarkerMatch.Full : MarkerMatch.None;
    }

    private static MarkerMatch Match(ReadOnlySpan<char> text, string marker, out int length)
    {
        length = 0;
        return marker.Length == 0 ? MarkerMatch.None : MarkerText.Match(text, marker, out length);
    }

    /// <summary>Passes text on, but for white space that a marker may follow.</summary>
    private void Say(ReadOnlySpan<char> text, ReplyDeltaKind kind, List<ReplyDelta> deltas)
    {
        if (_skipsSpace)
            text = text.TrimStart();
        ReadOnlySpan<char> said = _markers.HoldsSpace || kind == ReplyDeltaKind.Reasoning ? text.TrimEnd() : text;
        if (said.IsEmpty)
        {
            _space = string.Concat(_space, text);
            return;
        }

        deltas.Add(new(kind, string.Concat(_space, said)));
        _space = text[said.Length..].ToString();
        _skipsSpace = _atStart = false;
    }
}
