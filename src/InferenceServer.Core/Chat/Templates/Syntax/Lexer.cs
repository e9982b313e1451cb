// Cuts a template's source into tokens under Hugging Face's settings: trim_blocks and lstrip_blocks on, one trailing newline dropped.
// Holds no state beyond one pass over one source.

using System.Globalization;
using System.Text;

namespace InferenceServer.Chat.Templates;

internal sealed class Lexer
{
    private readonly string _source;
    private readonly List<Token> _tokens = [];
    private readonly Stack<char> _brackets = new();
    private int _at;
    private bool _lineStarting = true;

    private Lexer(string source)
    {
        _source = source;
    }

    /// <summary>Line endings become \n and one at the very end is dropped, before anything else looks at the source.</summary>
    public static string Normalize(string source)
    {
        string text = source.Contains('\r', StringComparison.Ordinal)
            ? source.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n')
            : source;
        return text.EndsWith('\n') ? text[..^1] : text;
    }

    /// <exception cref="TemplateException">With line and column, in a source that Normalize made.</exception>
    public static List<Token> Tokenize(string normalizedSource)
    {
        Lexer lexer = new(normalizedSource);
        while (lexer._at < normalizedSource.Length)
            lexer.ReadRoot();
        lexer._tokens.Add(new Token(TokenKind.End, "", normalizedSource.Length));
        return lexer._tokens;
    }

    /// <summary>Line and column, both from 1.</summary>
    public static (int Line, int Column) Locate(string source, int position)
    {
        ReadOnlySpan<char> before = source.AsSpan(0, Math.Min(position, source.Length));
        return (before.Count('\n') + 1, before.Length - before.LastIndexOf('\n'));
    }

    private TemplateException Error(string cause, int position)
    {
        (int line, int column) = Locate(_source, position);
        return new TemplateException(cause, line, column);
    }

    private void ReadRoot()
    {
        int open = FindOpening(_at);
        if (open < 0)
        {
            AddData(_at, _source.Length);
            _at = _source.Length;
            return;
        }
        char type = _source[open + 1];
        int after = open + 2;
        char sign = after < _source.Length && _source[after] is '-' or '+' ? _source[after++] : '\0';
        AddData(_at, StrippedEnd(_at, open, sign, type != '{'));
        _lineStarting = false;
        if (type == '#')
            ReadComment(open, after);
        else if (type == '%' && RawBodyStart(after) is int rawStart)
            ReadRaw(open, rawStart);
        else
            ReadTag(open, after, type == '{');
        _lineStarting = _at > 0 && _source[_at - 1] == '\n';
    }

    private int FindOpening(int from)
    {
        for (int i = from; ; i++)
        {
            int brace = i < _source.Length ? _source.IndexOf('{', i) : -1;
            if (brace < 0 || brace + 1 >= _source.Length)
                return -1;
            if (_source[brace + 1] is '{' or '%' or '#')
                return brace;
            i = brace;
        }
    }

    /// <summary>Where the text before a tag ends once '-' or lstrip_blocks took its whitespace.</summary>
    private int StrippedEnd(int start, int end, char sign, bool stripsBlock)
    {
        if (sign == '-')
        {
            while (end > start && PythonStrings.IsSpace(_source[end - 1]))
                end--;
            return end;
        }
        if (sign == '+' || !stripsBlock)
            return end;
        int lineStart = _source.AsSpan(start, end - start).LastIndexOf('\n') + 1 + start;
        if (lineStart == start && !_lineStarting)
            return end;
        for (int i = lineStart; i < end; i++)
            if (!PythonStrings.IsSpace(_source[i]))
                return end;
        return lineStart;
    }

    private void AddData(int start, int end)
    {
        if (end > start)
            _tokens.Add(new Token(TokenKind.Data, _source[start..end], start));
    }

    private void ReadComment(int open, int from)
    {
        // "{#-#}" closes with the sign that opened it; search from the sign's end as the reference does.
        int close = _source.IndexOf("#}", from, StringComparison.Ordinal);
        if (close < 0)
            throw Error("missing end of comment tag", open);
        EndBlock(close, from);
    }

    /// <summary>Moves past a closing "%}" or "#}" at <paramref name="close"/>: '-' before it eats whitespace, '+' keeps the newline, else one newline goes.</summary>
    private void EndBlock(int close, int from)
    {
        char sign = close > from ? _source[close - 1] : '\0';
        _at = close + 2;
        if (sign == '-')
            SkipSpace();
        else if (sign != '+' && _at < _source.Length && _source[_at] == '\n')
            _at++;
    }

    private void SkipSpace()
    {
        while (_at < _source.Length && PythonStrings.IsSpace(_source[_at]))
            _at++;
    }

    /// <summary>Where the body of "{% raw %}" starts, or null when the tag is another one.</summary>
    private int? RawBodyStart(int from)
    {
        int i = SpaceEnd(from);
        if (string.CompareOrdinal(_source, i, "raw", 0, 3) != 0)
            return null;
        i = SpaceEnd(i + 3);
        if (string.CompareOrdinal(_source, i, "-%}", 0, 3) == 0)
            return SpaceEnd(i + 3);
        return string.CompareOrdinal(_source, i, "%}", 0, 2) == 0 ? i + 2 : null;
    }

    private int SpaceEnd(int from)
    {
        while (from < _source.Length && PythonStrings.IsSpace(_source[from]))
            from++;
        return from;
    }

    private void ReadRaw(int open, int bodyStart)
    {
        _lineStarting = _source[bodyStart - 1] == '\n';
        for (int i = bodyStart; ; i++)
        {
            i = i < _source.Length ? _source.IndexOf("{%", i, StringComparison.Ordinal) : -1;
            if (i < 0)
                throw Error("missing end of raw directive", open);
            int at = i + 2;
            char sign = at < _source.Length && _source[at] is '-' or '+' ? _source[at++] : '\0';
            at = SpaceEnd(at);
            if (string.CompareOrdinal(_source, at, "endraw", 0, 6) != 0)
                continue;
            at += 6;
            int close = SpaceEnd(at);
            int beforeClose = close;
            if (close < _source.Length && _source[close] is '-' or '+')
                close++;
            if (string.CompareOrdinal(_source, close, "%}", 0, 2) != 0)
                continue;
            AddData(bodyStart, StrippedEnd(bodyStart, i, sign, stripsBlock: true));
            EndBlock(close, beforeClose);
            return;
        }
    }

    private void ReadTag(int open, int from, bool isVariable)
    {
        _tokens.Add(new Token(isVariable ? TokenKind.VariableBegin : TokenKind.BlockBegin, "", open));
        _brackets.Clear();
        _at = from;
        while (true)
        {
            if (_brackets.Count == 0 && TryEndTag(isVariable))
                return;
            if (_at >= _source.Length)
                throw Error(isVariable ? "this print statement is never closed" : "this statement block is never closed", open);
            if (PythonStrings.IsSpace(_source[_at]))
                _at++;
            else
                ReadToken();
        }
    }

    private bool TryEndTag(bool isVariable)
    {
        int sign = _source[Math.Min(_at, _source.Length - 1)] is '-' || (!isVariable && _source[Math.Min(_at, _source.Length - 1)] is '+') ? 1 : 0;
        if (string.CompareOrdinal(_source, _at + sign, isVariable ? "}}" : "%}", 0, 2) != 0 || _at >= _source.Length)
            return false;
        _tokens.Add(new Token(isVariable ? TokenKind.VariableEnd : TokenKind.BlockEnd, "", _at));
        int close = _at + sign;
        if (!isVariable)
        {
            EndBlock(close, _at);
            return true;
        }
        _at = close + 2;
        if (sign == 1)
            SkipSpace();
        return true;
    }

    private void ReadToken()
    {
        char c = _source[_at];
        if (c is '\'' or '"')
            ReadString(c);
        else if (char.IsAsciiDigit(c))
            ReadNumber();
        else if (IsNameStart(_at))
            ReadName();
        else
            ReadOperator(c);
    }

    private bool IsNameStart(int at) => _source[at] == '_' || Rune.TryGetRuneAt(_source, at, out Rune rune) && Rune.IsLetter(rune);

    private void ReadName()
    {
        int start = _at;
        while (_at < _source.Length && (_source[_at] == '_' || (Rune.TryGetRuneAt(_source, _at, out Rune rune) && IsNamePart(rune))))
            _at += char.IsHighSurrogate(_source[_at]) ? 2 : 1;
        _tokens.Add(new Token(TokenKind.Name, _source[start.._at], start));
    }

    private static bool IsNamePart(Rune rune) => Rune.IsLetterOrDigit(rune)
        || Rune.GetUnicodeCategory(rune) is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.ConnectorPunctuation;

    private void ReadNumber()
    {
        int start = _at;
        if (_source[_at] == '0' && _at + 1 < _source.Length && _source[_at + 1] is 'x' or 'X' or 'o' or 'O' or 'b' or 'B')
        {
            int digits = _at + 2;
            while (digits < _source.Length && (char.IsAsciiHexDigit(_source[digits]) || _source[digits] == '_'))
                digits++;
            if (digits > _at + 2)
            {
                _at = digits;
                _tokens.Add(new Token(TokenKind.Integer, _source[start.._at].Replace("_", "", StringComparison.Ordinal), start));
                return;
            }
        }
        SkipDigits();
        bool isFloat = false;
        // "1.real" is an integer and an attribute: a fraction needs a digit, and "x.1.2" never holds a float.
        bool afterDot = start > 0 && _source[start - 1] == '.';
        if (!afterDot && _at + 1 < _source.Length && _source[_at] == '.' && char.IsAsciiDigit(_source[_at + 1]))
        {
            isFloat = true;
            _at++;
            SkipDigits();
        }
        int exponent = _at + 1 < _source.Length && _source[_at] is 'e' or 'E' && !afterDot ? _at + (_source[_at + 1] is '+' or '-' ? 2 : 1) : -1;
        if (exponent > 0 && exponent < _source.Length && char.IsAsciiDigit(_source[exponent]))
        {
            isFloat = true;
            _at = exponent;
            SkipDigits();
        }
        string text = _source[start.._at].Replace("_", "", StringComparison.Ordinal);
        if (!isFloat && text.Length > 1 && text[0] == '0' && text.AsSpan().Trim('0').Length > 0)
            throw Error($"leading zeros in the integer '{text}'", start);
        _tokens.Add(new Token(isFloat ? TokenKind.Float : TokenKind.Integer, text, start));
    }

    private void SkipDigits()
    {
        while (_at < _source.Length && (char.IsAsciiDigit(_source[_at])
            || (_source[_at] == '_' && _at + 1 < _source.Length && char.IsAsciiDigit(_source[_at + 1]))))
            _at++;
    }

    private void ReadOperator(char c)
    {
        string? two = _at + 1 < _source.Length ? (c, _source[_at + 1]) switch
        {
            ('/', '/') => "//",
            ('*', '*') => "**",
            ('=', '=') => "==",
            ('!', '=') => "!=",
            ('>', '=') => ">=",
            ('<', '=') => "<=",
            _ => null,
        } : null;
        if (two is not null)
        {
            _tokens.Add(new Token(TokenKind.Operator, two, _at));
            _at += 2;
            return;
        }
        if (!"+-/*%~[](){}<>=.:|,;".Contains(c, StringComparison.Ordinal))
            throw Error($"unexpected char '{c}'", _at);
        CheckBrackets(c);
        _tokens.Add(new Token(TokenKind.Operator, c.ToString(), _at++));
    }

    private void CheckBrackets(char c)
    {
        if (c is '(' or '[' or '{')
        {
            _brackets.Push(c == '(' ? ')' : c == '[' ? ']' : '}');
            return;
        }
        if (c is not (')' or ']' or '}'))
            return;
        if (!_brackets.TryPop(out char expected))
            throw Error($"unexpected '{c}'", _at);
        if (expected != c)
            throw Error($"unexpected '{c}', expected '{expected}'", _at);
    }

    private void ReadString(char quote)
    {
        int start = _at++;
        int end = _at;
        while (end < _source.Length && _source[end] != quote)
            end += _source[end] == '\\' ? 2 : 1;
        if (end >= _source.Length)
            throw Error("this string is never closed", start);
        ReadOnlySpan<char> body = _source.AsSpan(_at, end - _at);
        _tokens.Add(new Token(TokenKind.String, body.Contains('\\') ? Unescape(body, start) : body.ToString(), start));
        _at = end + 1;
    }

    private string Unescape(ReadOnlySpan<char> body, int position)
    {
        StringBuilder text = new(body.Length);
        for (int i = 0; i < body.Length; i++)
        {
            if (body[i] != '\\')
            {
                text.Append(body[i]);
                continue;
            }
            char c = body[++i];
            const string Simple = "abfnrtv\\'\"";
            const string Meaning = "\a\b\f\n\r\t\v\\'\"";
            int simple = Simple.IndexOf(c, StringComparison.Ordinal);
            if (simple >= 0)
                text.Append(Meaning[simple]);
            else if (c is 'x' or 'u' or 'U')
                i += AppendHex(text, body, i, position);
            else if (c is >= '0' and <= '7')
                i += AppendOctal(text, body[i..]);
            else if (c == 'N')
                throw Error("named characters (\\N{...}) are not supported", position);
            else if (c != '\n')
                text.Append('\\').Append(c);
        }
        return text.ToString();
    }

    private int AppendHex(StringBuilder text, ReadOnlySpan<char> body, int at, int position)
    {
        int digits = body[at] switch { 'x' => 2, 'u' => 4, _ => 8 };
        if (at + digits >= body.Length || !uint.TryParse(body.Slice(at + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint code)
            || code > 0x10FFFF)
            throw Error($"truncated or illegal \\{body[at]} escape", position);
        if (code > 0xFFFF)
            text.Append(char.ConvertFromUtf32((int)code));
        else
            text.Append((char)code);
        return digits;
    }

    private static int AppendOctal(StringBuilder text, ReadOnlySpan<char> digits)
    {
        int length = 0;
        int code = 0;
        while (length < 3 && length < digits.Length && digits[length] is >= '0' and <= '7')
            code = (code * 8) + digits[length++] - '0';
        text.Append((char)code);
        return length - 1;
    }
}
