// Values as models write them outside JSON: Python's literals, or the same shapes with a quote marker of their own and bare keys. Out comes JSON.

using System.Globalization;
using System.Text;

namespace InferenceServer.Chat.Replies;

internal ref struct LiteralParser
{
    private const int MaxDepth = 64;

    private readonly ReadOnlySpan<char> _text;
    private readonly string? _quote;
    private readonly StringBuilder _json = new();
    private int _at;
    private int _depth;

    private LiteralParser(ReadOnlySpan<char> text, string? quote)
    {
        _text = text;
        _quote = quote;
    }

    /// <summary>A JSON value or a literal as JSON; null when the text is neither.</summary>
    /// <param name="quote">A marker around strings that are never escaped; null for Python's quotes.</param>
    public static string? ToJson(ReadOnlySpan<char> text, string? quote = null)
    {
        text = text.Trim();
        if (quote is null && text.ToString() is var json && JsonWriting.IsJson(json))
            return json;
        LiteralParser parser = new(text, quote);
        return parser.Value() && parser._at == text.Length ? parser._json.ToString() : null;
    }

    /// <summary>
    /// Where a Python string that begins at <paramref name="start"/> closes, or -1 when its end is not there yet. Templates print strings without escaping
    /// them: a quote that nothing closing or separating follows is part of the string.
    /// </summary>
    public static int StringEnd(ReadOnlySpan<char> text, int start, bool isLast)
    {
        for (int at = start + 1; at < text.Length; at++)
        {
            if (text[at] == '\\')
            {
                at++;
                continue;
            }

            if (text[at] != text[start])
                continue;
            ReadOnlySpan<char> after = text[(at + 1)..].TrimStart();
            if (after.IsEmpty ? isLast : after[0] is ',' or ')' or ']' or '}' or ':')
                return at;
            if (after.IsEmpty)
                return -1;
        }

        return -1;
    }

    private bool Value()
    {
        if (++_depth > MaxDepth)
            return false;
        SkipSpace();
        bool read = _at < _text.Length && _text[_at] switch
        {
            '{' => Items('}', isObject: true),
            '[' => Items(']', isObject: false),
            '(' => Items(')', isObject: false),
            _ => Text() || Scalar(),
        };
        SkipSpace();
        _depth--;
        return read;
    }

    private bool Items(char close, bool isObject)
    {
        _at++;
        _json.Append(isObject ? '{' : '[');
        for (bool first = true; ; first = false)
        {
            SkipSpace();
            if (_at < _text.Length && _text[_at] == close)
                break;
            if (!first && !Take(','))
                return false;
            SkipSpace();
            if (!first && _at < _text.Length && _text[_at] == close)
                break;
            if (!first)
                _json.Append(',');
            if (isObject && !Key())
                return false;
            if (!Value())
                return false;
        }

        _at++;
        _json.Append(isObject ? '}' : ']');
        return true;
    }

    private bool Key()
    {
        if (!Text())
        {
            int colon = _text[_at..].IndexOf(':');
            if (colon <= 0)
                return false;
            _json.Append(JsonWriting.Quote(_text.Slice(_at, colon).Trim()));
            _at += colon;
        }

        SkipSpace();
        _json.Append(':');
        return Take(':');
    }

    private bool Text()
    {
        ReadOnlySpan<char> rest = _text[_at..];
        if (_quote is not null)
        {
            if (!rest.StartsWith(_quote, StringComparison.Ordinal))
                return false;
            int close = rest[_quote.Length..].IndexOf(_quote, StringComparison.Ordinal);
            if (close < 0)
                return false;
            _json.Append(JsonWriting.Quote(rest.Slice(_quote.Length, close)));
            _at += close + (2 * _quote.Length);
            return true;
        }

        if (rest is not ['\'' or '"', ..])
            return false;
        int end = StringEnd(_text, _at, isLast: true);
        if (end < 0 || Unescape(_text[(_at + 1)..end]) is not { } text)
            return false;
        _json.Append(JsonWriting.Quote(text));
        _at = end + 1;
        return true;
    }

    private bool Scalar()
    {
        int start = _at;
        while (_at < _text.Length && (char.IsAsciiLetterOrDigit(_text[_at]) || _text[_at] is '.' or '+' or '-'))
            _at++;
        string word = _text[start.._at].ToString();
        string? json = word switch
        {
            "True" or "true" => "true",
            "False" or "false" => "false",
            "None" or "null" => "null",
            _ => JsonScanner.IsNumber(word) ? word : null,
        };
        _json.Append(json);
        return json is not null;
    }

    /// <summary>A Python string's inside; an unknown escape stays as it is, as in Python.</summary>
    private static string? Unescape(ReadOnlySpan<char> text)
    {
        StringBuilder result = new(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] != '\\' || i + 1 == text.Length)
            {
                result.Append(text[i]);
                continue;
            }

            char c = text[++i];
            int digits = c switch { 'x' => 2, 'u' => 4, 'U' => 8, _ => 0 };
            if (digits > 0)
            {
                if (i + digits >= text.Length || !int.TryParse(text.Slice(i + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int code)
                    || code is < 0 or > 0x10FFFF)
                    return null;
                result.Append(code <= 0xFFFF ? ((char)code).ToString() : char.ConvertFromUtf32(code));
                i += digits;
                continue;
            }

            string plain = c switch
            {
                'n' => "\n",
                't' => "\t",
                'r' => "\r",
                'b' => "\b",
                'f' => "\f",
                '\\' or '\'' or '"' or '/' => c.ToString(),
                _ => "\\" + c,
            };
            result.Append(plain);
        }

        return result.ToString();
    }

    private bool Take(char c)
    {
        SkipSpace();
        if (_at >= _text.Length || _text[_at] != c)
            return false;
        _at++;
        return true;
    }

    private void SkipSpace()
    {
        while (_at < _text.Length && char.IsWhiteSpace(_text[_at]))
            _at++;
    }
}
