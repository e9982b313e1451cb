// What a reader needs to know of a ToolCallFormat, worked out once: whether calls are JSON objects, where those begin, and what closes a call.

namespace InferenceServer.Chat.Replies;

/// <param name="Prefix">Before the call's JSON object when <paramref name="IsObject"/>, else the first literal; without white space at its end.</param>
/// <param name="IsObject">The call as a whole is a JSON object: its keys are read in any order, by their usual names.</param>
/// <param name="NameIsKey">The object has one member, named after the function.</param>
/// <param name="Inner">The pieces after the prefix up to and including the arguments; the object replaces them when <paramref name="IsObject"/>.</param>
/// <param name="Close">What closes a call, in steps that a model may leave out from any one on.</param>
internal sealed record CallLayout(string Prefix, bool IsObject, bool NameIsKey, IReadOnlyList<CallPiece> Inner, IReadOnlyList<string> Close)
{
    public static CallLayout Of(ToolCallFormat format)
    {
        IReadOnlyList<CallPiece> pieces = format.Pieces;
        int arguments = 0;
        while (pieces[arguments].Kind != CallPieceKind.Arguments)
            arguments++;
        string open = format.Open;
        string close = string.Concat(pieces.Skip(arguments + 1).Where(piece => piece.Kind == CallPieceKind.Literal).Select(piece => piece.Text));
        int brace = ObjectStart(open);
        bool isObject = brace >= 0 && format.Arguments is ArgumentSyntax.JsonArguments;
        if (!isObject)
        {
            int first = open.Length > 0 ? 1 : 0;
            return new(open.TrimEnd(), false, false, [.. pieces.Skip(first).Take(arguments + 1 - first)], MarkerText.Steps(close));
        }

        int depth = string.Concat(pieces.Take(arguments).Select(piece => piece.Kind == CallPieceKind.Literal ? piece.Text : ""))[brace..].Count(c => c == '{');
        int end = 0;
        for (; end < close.Length && depth > 0; end++)
            depth -= close[end] == '}' ? 1 : 0;
        return new(open[..brace].TrimEnd(), true, open[(brace + 1)..].Trim() == "\"", [], MarkerText.Steps(close[end..]));
    }

    /// <summary>As much of what closes a call as tells it from one more argument; empty when nothing closes it.</summary>
    public string CloseAfter(ArgumentSyntax arguments)
    {
        string close = "";
        string open = arguments is ArgumentSyntax.Tagged tagged ? tagged.ParameterOpen.Trim() : "";
        for (int step = 0; step < Close.Count && open.StartsWith(close, StringComparison.Ordinal); step++)
            close += Close[step];
        return close;
    }

    /// <summary>Where the first JSON object begins: a brace with a key after it.</summary>
    private static int ObjectStart(string open)
    {
        for (int at = open.IndexOf('{'); at >= 0; at = open.IndexOf('{', at + 1))
            if (open.AsSpan(at + 1).TrimStart() is ['"', ..])
                return at;
        return -1;
    }
}
