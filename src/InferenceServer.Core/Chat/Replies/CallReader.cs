// Reads one tool call as its text comes. What it consumed can be taken back from the buffer when the call turns out to be none.

using System.Text;

namespace InferenceServer.Chat.Replies;

internal enum ReadStatus
{
    NeedMore,
    Done,
    Failed,
}

/// <summary>What was read of a call so far.</summary>
internal sealed class CallOutput(IReadOnlyDictionary<string, ToolSignature> tools)
{
    /// <summary>The function; null until its name was read and known.</summary>
    public ToolSignature? Tool { get; private set; }

    /// <summary>JSON text of the arguments that nobody took yet.</summary>
    public StringBuilder Arguments { get; } = new();

    /// <summary>Whether the arguments have begun.</summary>
    public bool HasArguments { get; private set; }

    /// <summary>The names of the tools.</summary>
    public IEnumerable<string> Names => tools.Keys;

    /// <summary>False for a name that is none of the tools'.</summary>
    public bool TryName(string name)
    {
        if (Tool is not null)
            return Tool.Name == name;
        Tool = tools.GetValueOrDefault(name);
        return Tool is not null;
    }

    public void Write(ReadOnlySpan<char> json)
    {
        HasArguments = true;
        Arguments.Append(json);
    }
}

/// <summary>One call in a given format, from behind its opening marker on.</summary>
internal sealed class CallReader
{
    private readonly CallLayout _layout;
    private readonly CallOutput _output;
    private readonly EnvelopeReader? _envelope;
    private readonly IArgumentReader? _arguments;
    private int _piece;
    private int _closeStep;

    /// <param name="isUnmarked">No marker says that this is a call: only what can be nothing else is taken for one.</param>
    public CallReader(ToolCallFormat format, CallOutput output, bool isUnmarked)
    {
        _layout = format.Layout;
        _output = output;
        string close = _layout.CloseAfter(format.Arguments);
        if (_layout.IsObject)
            _envelope = new EnvelopeReader(output, _layout.NameIsKey, isUnmarked);
        else
            _arguments = format.Arguments switch
            {
                ArgumentSyntax.Tagged tagged => new TaggedReader(tagged, output, close),
                ArgumentSyntax.Members members => new MemberReader(members, output, close),
                _ => new JsonArgumentReader(output, close),
            };
    }

    /// <summary>Reads on; Done once the call is closed, or cannot have more.</summary>
    public ReadStatus Read(ReplyBuffer buffer)
    {
        if (_envelope is { IsDone: false } && _envelope.Read(buffer) is not ReadStatus.Done and var envelope)
            return envelope;
        for (; _piece < _layout.Inner.Count; _piece++)
            if (ReadPiece(buffer, _layout.Inner[_piece]) is not ReadStatus.Done and var piece)
                return piece;
        if (_output.Tool is null)
            return ReadStatus.Failed;
        return ReadClose(buffer);
    }

    private ReadStatus ReadPiece(ReplyBuffer buffer, CallPiece piece)
    {
        if (piece.Kind == CallPieceKind.Arguments)
            return _arguments!.Read(buffer);
        if (piece.Kind == CallPieceKind.Literal)
            return ReadLiteral(buffer, piece.Text);
        if (piece.Kind == CallPieceKind.Skip)
            return SkipTo(buffer, _layout.Inner[_piece + 1].Text);
        buffer.ConsumeSpace();
        if (piece.Kind == CallPieceKind.Name)
            return ReadName(buffer);
        ReadOnlySpan<char> rest = buffer.Rest;
        int length = rest.IndexOfAnyExcept(NameCharacters);
        if (length < 0 && !buffer.IsLast)
            return ReadStatus.NeedMore;
        if (length is 0 or < 0 or > MaxNameLength)
            return ReadStatus.Failed;
        buffer.Consume(length);
        return ReadStatus.Done;
    }

    /// <summary>The longest name of a tool that stands here: names may hold what parts them from the rest in some notation.</summary>
    private ReadStatus ReadName(ReplyBuffer buffer)
    {
        ReadOnlySpan<char> rest = buffer.Rest;
        string? found = null;
        foreach (string name in _output.Names)
        {
            if (!buffer.IsLast && rest.Length <= name.Length && name.StartsWith(rest, StringComparison.Ordinal))
                return ReadStatus.NeedMore;
            if (rest.StartsWith(name, StringComparison.Ordinal) && name.Length > (found?.Length ?? 0))
                found = name;
        }

        // What goes on as a name does is another one.
        if (found is null || (rest.Length > found.Length && NameCharacters.Contains(rest[found.Length])) || !_output.TryName(found))
            return ReadStatus.Failed;
        buffer.Consume(found.Length);
        return ReadStatus.Done;
    }

    private static readonly System.Buffers.SearchValues<char> NameCharacters =
        System.Buffers.SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");

    private const int MaxNameLength = 256;

    private static ReadStatus ReadLiteral(ReplyBuffer buffer, string literal)
    {
        switch (MarkerText.Match(buffer.Rest, literal, out int length))
        {
            case MarkerMatch.Full:
                buffer.Consume(length);
                return ReadStatus.Done;
            case MarkerMatch.Partial when !buffer.IsLast:
                return ReadStatus.NeedMore;
            default:
                return ReadStatus.Failed;
        }
    }

    private static ReadStatus SkipTo(ReplyBuffer buffer, string literal)
    {
        if (MarkerText.Find(buffer.Rest, literal, out int index, out _) == MarkerMatch.Full)
        {
            buffer.Consume(index);
            return ReadStatus.Done;
        }

        return buffer.IsLast || buffer.Rest.Length > MaxNameLength ? ReadStatus.Failed : ReadStatus.NeedMore;
    }

    /// <summary>Swallows what closes a call as far as it is there: the call itself is whole.</summary>
    private ReadStatus ReadClose(ReplyBuffer buffer)
    {
        for (; _closeStep < _layout.Close.Count; _closeStep++)
        {
            switch (MarkerText.Match(buffer.Rest, _layout.Close[_closeStep], out int length))
            {
                case MarkerMatch.Full:
                    buffer.Consume(length);
                    continue;
                case MarkerMatch.Partial when !buffer.IsLast:
                    return ReadStatus.NeedMore;
                case MarkerMatch.Partial:
                    buffer.Consume(buffer.Rest.Length);
                    return ReadStatus.Done;
                default:
                    return ReadStatus.Done;
            }
        }

        return ReadStatus.Done;
    }
}

/// <summary>Reads a call's arguments in one syntax and writes them as JSON.</summary>
internal interface IArgumentReader
{
    ReadStatus Read(ReplyBuffer buffer);
}

/// <summary>Arguments that are JSON already: passed on as they are.</summary>
internal sealed class JsonArgumentReader(CallOutput output, string close) : IArgumentReader
{
    private readonly JsonScanner _scanner = new();

    public ReadStatus Read(ReplyBuffer buffer)
    {
        if (!output.HasArguments)
        {
            buffer.ConsumeSpace();
            if (buffer.Rest.IsEmpty)
                return buffer.IsLast ? ReadStatus.Failed : ReadStatus.NeedMore;
            if (buffer.Rest[0] != '{')
                return ReadAbsent(buffer);
        }

        ReadOnlySpan<char> rest = buffer.Rest;
        int taken = 0;
        while (taken < rest.Length && _scanner.Position != JsonPosition.Done)
            if (!_scanner.Take(rest[taken++]))
                return ReadStatus.Failed;
        output.Write(rest[..taken]);
        buffer.Consume(taken);
        return _scanner.Position == JsonPosition.Done ? ReadStatus.Done : buffer.IsLast ? ReadStatus.Failed : ReadStatus.NeedMore;
    }

    /// <summary>A function without parameters may be called with nothing at all.</summary>
    private ReadStatus ReadAbsent(ReplyBuffer buffer)
    {
        MarkerMatch match = close.Length == 0 ? MarkerMatch.None : MarkerText.Match(buffer.Rest, close, out _);
        if (match == MarkerMatch.Partial && !buffer.IsLast)
            return ReadStatus.NeedMore;
        if (match == MarkerMatch.None)
            return ReadStatus.Failed;
        output.Write("{}");
        return ReadStatus.Done;
    }
}
