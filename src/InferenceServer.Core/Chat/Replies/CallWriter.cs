// Writes calls as a model would: for history that a template drops, and to show a model how.

using System.Globalization;
using System.Text;
using System.Text.Json;

namespace InferenceServer.Chat.Replies;

/// <summary>The other direction of <see cref="ReplySplitter"/>.</summary>
internal static class CallWriter
{
    /// <param name="calls">Each with its arguments, a JSON object.</param>
    public static string Write(ToolCallFormat format, IReadOnlyList<(string Name, string Id, JsonElement Arguments)> calls)
    {
        StringBuilder text = new(format.SectionOpen);
        for (int i = 0; i < calls.Count; i++)
        {
            text.Append(i > 0 ? format.Separator : "");
            foreach (CallPiece piece in format.Pieces)
            {
                text.Append(piece.Kind switch
                {
                    CallPieceKind.Name => calls[i].Name,
                    CallPieceKind.Id => calls[i].Id,
                    CallPieceKind.Index => i.ToString(CultureInfo.InvariantCulture),
                    CallPieceKind.Arguments => Arguments(format.Arguments, calls[i].Arguments),
                    _ => piece.Text,
                });
            }
        }

        return text.Append(format.SectionClose).ToString();
    }

    private static string Arguments(ArgumentSyntax syntax, JsonElement arguments) => syntax switch
    {
        ArgumentSyntax.Tagged tagged => string.Join(tagged.Separator, arguments.EnumerateObject().Select(member => Parameter(tagged, member))),
        ArgumentSyntax.Members members => string.Join(members.Separator, arguments.EnumerateObject().Select(member => member.Name + members.KeyEnd + Literal(members, member.Value))),
        _ => arguments.GetRawText(),
    };

    private static string Parameter(ArgumentSyntax.Tagged syntax, JsonProperty member)
    {
        string type = member.Value.ValueKind switch
        {
            JsonValueKind.Number => "number",
            JsonValueKind.True or JsonValueKind.False => "boolean",
            JsonValueKind.Array => "array",
            JsonValueKind.Object => "object",
            JsonValueKind.Null => "null",
            _ => "string",
        };
        string open = syntax.ValueOpenByType?.GetValueOrDefault(type) ?? syntax.ValueOpen;
        string close = syntax.ParameterClose.Replace(ArgumentSyntax.KeyMark.ToString(), member.Name, StringComparison.Ordinal);
        return syntax.ParameterOpen + member.Name + open + Value(syntax, member.Value) + close;
    }

    private static string Value(ArgumentSyntax.Tagged syntax, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String when syntax.CharacterData && value.GetString().AsSpan().ContainsAny("<&\n") => $"<![CDATA[{value.GetString()}]]>",
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.True or JsonValueKind.False or JsonValueKind.Null => Word(value.ValueKind, syntax.PythonScalars),
        _ => value.GetRawText(),
    };

    private static string Literal(ArgumentSyntax.Members syntax, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => $"{{{string.Join(", ", value.EnumerateObject().Select(member => Text(syntax, member.Name) + ": " + Literal(syntax, member.Value)))}}}",
        JsonValueKind.Array => $"[{string.Join(", ", value.EnumerateArray().Select(item => Literal(syntax, item)))}]",
        JsonValueKind.String => Text(syntax, value.GetString()!),
        JsonValueKind.Number => value.GetRawText(),
        _ => Word(value.ValueKind, syntax.PythonScalars),
    };

    private static string Word(JsonValueKind kind, bool python) => kind switch
    {
        JsonValueKind.True => python ? "True" : "true",
        JsonValueKind.False => python ? "False" : "false",
        _ => python ? "None" : "null",
    };

    private static string Text(ArgumentSyntax.Members syntax, string text) => syntax.IsPython
        ? syntax.Quote + text.Replace("\\", @"\\", StringComparison.Ordinal).Replace(syntax.Quote, "\\" + syntax.Quote, StringComparison.Ordinal)
            .Replace("\n", @"\n", StringComparison.Ordinal).Replace("\r", @"\r", StringComparison.Ordinal) + syntax.Quote
        : syntax.Quote + text + syntax.Quote;
}
