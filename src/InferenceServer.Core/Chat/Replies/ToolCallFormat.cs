// One way to write tool calls, as data.

namespace InferenceServer.Chat.Replies;

/// <summary>
/// How calls are written: <c>SectionOpen call (Separator call)* SectionClose</c>, each call its pieces in order. Qwen's calls have no section and the pieces
/// <c>&lt;tool_call&gt;\n{"name": "</c>, name, <c>", "arguments": </c>, arguments, <c>}\n&lt;/tool_call&gt;</c>.
/// </summary>
public sealed record ToolCallFormat
{
    private readonly Lazy<CallLayout> _layout;

    public ToolCallFormat(string name, IReadOnlyList<CallPiece> pieces, ArgumentSyntax? arguments = null)
    {
        Name = name;
        Pieces = pieces;
        Arguments = arguments ?? ArgumentSyntax.Json;
        _layout = new(() => CallLayout.Of(this));
    }

    /// <summary>For people: which known format this is, or that it was learned.</summary>
    public string Name { get; }

    public IReadOnlyList<CallPiece> Pieces { get; }

    public ArgumentSyntax Arguments { get; }

    /// <summary>Once, before the first of successive calls.</summary>
    public string SectionOpen { get; init; } = "";

    public string SectionClose { get; init; } = "";

    public string Separator { get; init; } = "";

    /// <summary>The text before a call's first variable piece.</summary>
    internal string Open => Pieces[0] is { Kind: CallPieceKind.Literal, Text: var text } ? text : "";

    /// <summary>The text that a reply's first call begins with, as the template writes it.</summary>
    internal string Opening => (SectionOpen + Open).TrimStart();

    internal CallLayout Layout => _layout.Value;

    /// <summary>A format made of one text, in which <c>$name</c>, <c>$id</c>, <c>$index</c>, <c>$skip</c> and <c>$arguments</c> stand for those pieces.</summary>
    public static ToolCallFormat Parse(string name, string call, ArgumentSyntax? arguments = null) => new(name, CallPiece.Parse(call), arguments);
}

public enum CallPieceKind
{
    Literal,
    Name,

    /// <summary>An id that the model makes up.</summary>
    Id,

    /// <summary>A running number.</summary>
    Index,

    /// <summary>Anything up to the next literal; when written, <see cref="CallPiece.Text"/>.</summary>
    Skip,
    Arguments,
}

public readonly record struct CallPiece(CallPieceKind Kind, string Text = "")
{
    private static readonly (string Word, CallPieceKind Kind)[] Words =
    [
        ("$name", CallPieceKind.Name), ("$id", CallPieceKind.Id), ("$index", CallPieceKind.Index), ("$skip", CallPieceKind.Skip),
        ("$arguments", CallPieceKind.Arguments),
    ];

    internal static List<CallPiece> Parse(string call)
    {
        List<CallPiece> pieces = [];
        int start = 0;
        for (int at = 0; at < call.Length; at++)
        {
            foreach ((string word, CallPieceKind kind) in Words)
            {
                if (string.CompareOrdinal(call, at, word, 0, word.Length) != 0)
                    continue;
                if (at > start)
                    pieces.Add(new(CallPieceKind.Literal, call[start..at]));
                pieces.Add(new(kind));
                start = at + word.Length;
                at = start - 1;
                break;
            }
        }

        if (start < call.Length)
            pieces.Add(new(CallPieceKind.Literal, call[start..]));
        return pieces;
    }
}

/// <summary>How the arguments of a call are written.</summary>
public abstract record ArgumentSyntax
{
    /// <summary>The literal texts within arguments.</summary>
    internal virtual IEnumerable<string> Markers => [];

    /// <summary>One JSON object.</summary>
    public static ArgumentSyntax Json { get; } = new JsonArguments();

    public sealed record JsonArguments : ArgumentSyntax;

    /// <summary>
    /// <c>ParameterOpen key ValueOpen value ParameterClose</c> for each: strings as they are, all else as JSON. In <paramref name="ParameterClose"/>,
    /// <see cref="KeyMark"/> stands for the key.
    /// </summary>
    /// <param name="ValueOpen">Between the key and a string.</param>
    /// <param name="ValueOpenByType">Between the key and a value of another JSON type, by its name in JSON Schema, where that differs.</param>
    /// <param name="PythonScalars">Whether booleans and null are written as Python's.</param>
    /// <param name="CharacterData">Whether strings may be wrapped in XML's CDATA.</param>
    /// <param name="NestedTags">Whether objects and arrays are written by the same tags within; items are named <c>item</c>.</param>
    public sealed record Tagged(
        string ParameterOpen, string ValueOpen, string ParameterClose, string Separator = "", IReadOnlyDictionary<string, string>? ValueOpenByType = null,
        bool PythonScalars = false, bool CharacterData = false, bool NestedTags = false) : ArgumentSyntax
    {
        internal override IEnumerable<string> Markers => [ParameterOpen, ValueOpen, ParameterClose, Separator, .. ValueOpenByType?.Values ?? []];
    }

    /// <summary>Members as <c>key=value, key=value</c>, in Python's notation or one with quotes of its own.</summary>
    /// <param name="KeyEnd">Between key and value.</param>
    /// <param name="Quote">What opens and closes a string: Python's quotes with their escapes, else a marker that is never escaped.</param>
    public sealed record Members(string KeyEnd, string Quote, string Separator = ", ", bool PythonScalars = true) : ArgumentSyntax
    {
        internal bool IsPython => Quote is "'" or "\"";

        internal override IEnumerable<string> Markers => [KeyEnd, Quote, Separator];
    }

    /// <summary>A character that no template prints.</summary>
    public const char KeyMark = '\uE000';
}
