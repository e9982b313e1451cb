// What clients and tools write is text, however much it looks like markup. A template may trim, cut or quote it, so what it makes of it is followed by two marks
// around every name of a control token. Unicode keeps their code points for such internal use: no text has them. What a filter tears apart is no name any more.

using System.Buffers;
using System.Text;
using System.Text.Json;

namespace InferenceServer.Chat;

/// <summary>Marks what reads like a control token in texts from outside. Immutable.</summary>
internal sealed class OutsideText
{
    internal const char Open = '\uFDD0', Close = '\uFDD1';

    // Half a name may be completed by what a template, or another text, puts beside it. One character is no half: every second text ends in one.
    private const int LeastOfName = 2;

    private readonly string[] _names;
    private readonly SearchValues<string> _search;
    private readonly SearchValues<char> _first;
    private readonly SearchValues<char> _last;
    private readonly int _longest;

    /// <param name="names">Of the vocabulary's control tokens.</param>
    public OutsideText(IEnumerable<string> names)
    {
        _names = [.. names.Where(name => name.Length > 0).Distinct().OrderByDescending(name => name.Length)];
        _search = SearchValues.Create(_names, StringComparison.Ordinal);
        _first = SearchValues.Create([.. _names.Select(name => name[0])]);
        _last = SearchValues.Create([.. _names.Select(name => name[^1])]);
        _longest = _names.Length == 0 ? 0 : _names[0].Length;
    }

    /// <summary>The conversation with everything marked that somebody outside wrote.</summary>
    public ChatConversation Mark(ChatConversation conversation) => _names.Length == 0 ? conversation : conversation with
    {
        Messages = [.. conversation.Messages.Select(Mark)],
        Tools = [.. conversation.Tools.Select(tool => tool with
        {
            Name = Mark(tool.Name),
            Description = tool.Description is { } description ? Mark(description) : null,
            Parameters = tool.Parameters is { } parameters ? Mark(parameters) : null,
        })],
        TemplateArguments = conversation.TemplateArguments?.ToDictionary(argument => argument.Key, argument => Mark(argument.Value)),
    };

    /// <summary>The text with marks around names, and where it begins or ends within one.</summary>
    public string Mark(string text)
    {
        if (text.AsSpan().ContainsAny(Open, Close))
            text = string.Concat(text.Where(c => c is not (Open or Close)));
        bool begins = EndsName(text), ends = BeginsName(text);
        int at = text.AsSpan().IndexOfAny(_search);
        if (at < 0 && !begins && !ends)
            return text;
        StringBuilder marked = new(text.Length + 8);
        int done = 0;
        if (begins)
            marked.Append(Open).Append(Close);
        while (at >= 0)
        {
            string name = NameAt(text, at);
            marked.Append(text, done, at - done).Append(Open).Append(name).Append(Close);
            done = at + name.Length;
            at = text.AsSpan(done).IndexOfAny(_search) is >= 0 and var next ? done + next : -1;
        }

        marked.Append(text, done, text.Length - done);
        if (ends)
            marked.Append(Open).Append(Close);
        return marked.ToString();
    }

    private ChatMessage Mark(ChatMessage message) => message with
    {
        Parts = message.Parts?.Select(Mark).ToList(),
        AuthorName = message.AuthorName is { } author ? Mark(author) : null,
        Reasoning = message.Reasoning is { } reasoning ? Mark(reasoning) : null,
        ToolCallId = message.ToolCallId is { } id ? Mark(id) : null,
        ToolCalls = message.ToolCalls?.Select(call => new ChatToolCall(Mark(call.Id), Mark(call.Name), MarkJson(call.Arguments))).ToList(),
    };

    private JsonElement Mark(JsonElement element)
    {
        string json = element.GetRawText(), marked = MarkJson(json);
        if (marked == json)
            return element;
        using JsonDocument document = JsonDocument.Parse(marked);
        return document.RootElement.Clone();
    }

    /// <summary>JSON text whose strings are marked. Escapes may hide a name, so where one does they are written out.</summary>
    private string MarkJson(string json)
    {
        if (!json.Contains('\\'))
            return Mark(json);
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            StringBuilder written = new(json.Length + 8);
            return Write(document.RootElement, written) ? written.ToString() : json;
        }
        catch (JsonException)
        {
            return Mark(json);
        }
    }

    /// <returns>Whether anything was marked.</returns>
    private bool Write(JsonElement element, StringBuilder json)
    {
        bool any = false;
        if (element.ValueKind == JsonValueKind.Object)
        {
            char before = '{';
            foreach (JsonProperty property in element.EnumerateObject())
            {
                json.Append(before);
                any |= Quote(property.Name, json);
                json.Append(": ");
                any |= Write(property.Value, json);
                before = ',';
            }

            json.Append(before == '{' ? "{}" : "}");
        }
        else if (element.ValueKind == JsonValueKind.Array)
        {
            char before = '[';
            foreach (JsonElement item in element.EnumerateArray())
            {
                json.Append(before);
                any |= Write(item, json);
                before = ',';
            }

            json.Append(before == '[' ? "[]" : "]");
        }
        else if (element.ValueKind == JsonValueKind.String)
            any = Quote(element.GetString()!, json);
        else
            json.Append(element.GetRawText());
        return any;
    }

    private bool Quote(string text, StringBuilder json)
    {
        string marked = Mark(text);
        json.Append('"');
        foreach (char c in marked)
            _ = c switch
            {
                '"' => json.Append("\\\""),
                '\\' => json.Append("\\\\"),
                < ' ' => json.Append(System.Globalization.CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => json.Append(c),
            };
        json.Append('"');
        return marked.Length != text.Length;
    }

    private string NameAt(string text, int at) => Array.Find(_names, name => string.CompareOrdinal(text, at, name, 0, name.Length) == 0)!;

    /// <summary>Whether the text ends in a beginning of a name.</summary>
    private bool BeginsName(ReadOnlySpan<char> text)
    {
        ReadOnlySpan<char> tail = text[Math.Max(0, text.Length - _longest)..];
        if (!tail.ContainsAny(_first))
            return false;
        foreach (string name in _names)
            for (int length = Math.Min(name.Length - 1, tail.Length); length >= LeastOfName; length--)
                if (tail.EndsWith(name.AsSpan(0, length), StringComparison.Ordinal))
                    return true;
        return false;
    }

    /// <summary>Whether the text begins with an end of a name.</summary>
    private bool EndsName(ReadOnlySpan<char> text)
    {
        ReadOnlySpan<char> head = text[..Math.Min(text.Length, _longest)];
        if (!head.ContainsAny(_last))
            return false;
        foreach (string name in _names)
            for (int length = Math.Min(name.Length - 1, head.Length); length >= LeastOfName; length--)
                if (head.StartsWith(name.AsSpan(name.Length - length), StringComparison.Ordinal))
                    return true;
        return false;
    }
}

/// <summary>A prompt's text, as a template made it.</summary>
/// <param name="Outside">From where to where it says the name of a control token without meaning one, ascending. An empty range keeps what is before it from what is after it.</param>
internal sealed record RenderedPrompt(string Text, IReadOnlyList<(int Start, int End)> Outside)
{
    // Where a template quotes a text as JSON, marks may come in escapes.
    private const string EscapedOpen = "\\ufdd0", EscapedClose = "\\ufdd1", EscapedAny = "\\ufdd";

    /// <param name="marked">As templates render it.</param>
    public static RenderedPrompt Of(string marked)
    {
        if (!marked.AsSpan().ContainsAny(OutsideText.Open, OutsideText.Close) && !marked.Contains(EscapedAny, StringComparison.OrdinalIgnoreCase))
            return new(marked, []);
        StringBuilder text = new(marked.Length);
        List<(int, int)> outside = [];
        int opened = -1;
        for (int at = 0; at < marked.Length;)
        {
            ReadOnlySpan<char> rest = marked.AsSpan(at);
            bool opens = rest[0] == OutsideText.Open, closes = rest[0] == OutsideText.Close;
            bool isEscaped = rest[0] == '\\' && !(opens | closes);
            opens |= isEscaped && rest.StartsWith(EscapedOpen, StringComparison.OrdinalIgnoreCase);
            closes |= isEscaped && rest.StartsWith(EscapedClose, StringComparison.OrdinalIgnoreCase);
            if (!opens && !closes)
            {
                text.Append(rest[0]);
                at++;
                continue;
            }

            if (opens)
                opened = text.Length;
            else if (opened >= 0)
            {
                outside.Add((opened, text.Length));
                opened = -1;
            }

            at += isEscaped ? EscapedOpen.Length : 1;
        }

        return new(text.ToString(), outside);
    }

    /// <summary>The same with more of the template's own at its end.</summary>
    public RenderedPrompt With(string more) => new(Text + more, Outside);
}
