using System.Text;
using System.Text.Json;
using InferenceServer.Chat.Templates;

namespace InferenceServer.Chat.Replies;

/// <summary>A call whose parts are words that no template prints of itself; ids have the nine characters that some templates insist on.</summary>
internal sealed record ProbeCall(string Name, string CallId, string Value1, string Value2)
{
    // Characters that no template prints stand for what varies.
    public const char NameMark = '\uE010', Id = '\uE011', Index = '\uE012', Arguments = '\uE013', Key = '\uE014', Value = '\uE015';

    private const string Key1 = "qzxkeya", Key2 = "qzxkeyb";

    public static JsonElement Schema { get; } =
        JsonDocument.Parse("""{"type":"object","properties":{"qzxkeya":{"type":"string"},"qzxkeyb":{"type":"string"}}}""").RootElement;

    public static bool IsMark(char c) => c is NameMark or Id or Index or Arguments or Key or Value;

    /// <param name="asText">Arguments as JSON text, for templates that take no other.</param>
    public static TemplateValue AsTemplate(IEnumerable<ProbeCall> calls, bool asText) =>
        new TemplateList(calls.Select(call => Call(call.Name, call.CallId, asText
            ? $$"""{"{{Key1}}": "{{call.Value1}}", "{{Key2}}": "{{call.Value2}}"}"""
            : TemplateDict.Of((Key1, call.Value1), (Key2, call.Value2))))).Freeze();

    public static TemplateValue Call(string name, string id, TemplateValue arguments) => TemplateDict.Of(
        ("id", id), ("type", "function"), ("function", TemplateDict.Of(("name", name), ("arguments", arguments))));

    /// <summary>The text with marks for the parts of all calls; null when one is not there.</summary>
    public static string? Mark(string text, IEnumerable<ProbeCall> calls)
    {
        foreach (ProbeCall call in calls)
        {
            if (!text.Contains(call.Name, StringComparison.Ordinal) || call.MarkArguments(text) is not { } marked)
                return null;
            text = marked.Replace(call.Name, NameMark.ToString(), StringComparison.Ordinal).Replace(call.CallId, Id.ToString(), StringComparison.Ordinal);
        }

        foreach (string key in (ReadOnlySpan<string>)[Key1, Key2])
            text = text.Replace("/" + key, "/" + ArgumentSyntax.KeyMark, StringComparison.Ordinal).Replace(key, Key.ToString(), StringComparison.Ordinal);
        return text;
    }

    /// <summary>A call with marks as the pieces of a format.</summary>
    public static List<CallPiece> Pieces(string call)
    {
        List<CallPiece> pieces = [];
        StringBuilder literal = new();
        foreach (char c in call + Arguments)
        {
            if (!IsMark(c))
            {
                literal.Append(c);
                continue;
            }

            if (literal.Length > 0)
                pieces.Add(new(CallPieceKind.Literal, literal.ToString()));
            literal.Clear();
            pieces.Add(new(c switch
            {
                NameMark => CallPieceKind.Name,
                Id => CallPieceKind.Id,
                Index => CallPieceKind.Index,
                _ => CallPieceKind.Arguments,
            }));
        }

        pieces.RemoveAt(pieces.Count - 1);
        return pieces;
    }

    /// <summary>Whether a split reply holds this call.</summary>
    public bool IsIn(List<ReplyDelta> deltas)
    {
        int call = deltas.Find(delta => delta.Kind == ReplyDeltaKind.CallBegin && delta.Text == Name) is { Id: not null } begin ? begin.Call : -1;
        string json = string.Concat(deltas.Where(delta => delta.Kind == ReplyDeltaKind.CallArguments && delta.Call == call).Select(delta => delta.Text));
        if (call < 0 || !JsonWriting.IsJson(json))
            return false;
        using JsonDocument arguments = JsonDocument.Parse(json);
        return arguments.RootElement.GetPropertyCount() == 2 && Is(Key1, Value1) && Is(Key2, Value2);
        bool Is(string key, string value) => arguments.RootElement.TryGetProperty(key, out JsonElement found) && found.ValueEquals(value);
    }

    private string? MarkArguments(string text)
    {
        int value = text.IndexOf(Value1, StringComparison.Ordinal);
        int key = value < 0 ? -1 : text.LastIndexOf(Key1, value, StringComparison.Ordinal);
        if (key <= 0)
            return null;
        int brace = text.LastIndexOf('{', key);
        if (text[key - 1] == '"' && brace >= 0 && ObjectLength(text[brace..]) is { } length)
            return text[..brace] + Arguments + text[(brace + length)..];
        return text.Replace(Value1, Value.ToString(), StringComparison.Ordinal).Replace(Value2, Value.ToString(), StringComparison.Ordinal);
    }

    /// <summary>How long the JSON object is that a text begins with; null when it is none.</summary>
    private static int? ObjectLength(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        Utf8JsonReader reader = new(bytes);
        try
        {
            return reader.Read() && reader.TrySkip() ? Encoding.UTF8.GetCharCount(bytes, 0, (int)reader.BytesConsumed) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
