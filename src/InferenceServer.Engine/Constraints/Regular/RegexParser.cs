// Reads the regular expressions of `pattern`, `regex` and `patternProperties`: the part of ECMA-262 that describes a regular language.
// Alternation, groups (capturing, non-capturing, named), classes, \d \w \s \p{..}, quantifiers (lazy ones mean the same), ^ and $.
// Backreferences, lookaround, word boundaries and inline flags are refused with the character's position.

using System.Globalization;

namespace InferenceServer.Engine.Constraints.Regular;

internal sealed class RegexSyntaxException(int position, string reason) : Exception($"character {position + 1} of the pattern: {reason}");

/// <summary>The parts of a regular expression. Begin and End are the anchors.</summary>
internal abstract record RegexNode
{
    internal sealed record Chars(CodePointSet Set) : RegexNode;

    internal sealed record Concat(IReadOnlyList<RegexNode> Items) : RegexNode;

    internal sealed record Alternate(IReadOnlyList<RegexNode> Items) : RegexNode;

    internal sealed record Repeat(RegexNode Body, int Min, int? Max) : RegexNode;

    internal sealed record Begin : RegexNode;

    internal sealed record End : RegexNode;
}

internal sealed class RegexParser
{
    /// <summary>Deeper groups would overflow the parser's own stack.</summary>
    private const int MaxDepth = 200;

    private static readonly CodePointSet Digits = CodePointSet.Of('0', '9');
    private static readonly CodePointSet WordChars = CodePointSet.FromRanges([new('0', '9'), new('A', 'Z'), new('_', '_'), new('a', 'z')]);
    private static readonly CodePointSet LineEnds = CodePointSet.FromRanges([new('\n', '\n'), new('\r', '\r'), new(0x2028, 0x2029)]);

    // ECMA-262's WhiteSpace and LineTerminator.
    private static readonly CodePointSet Spaces = CodePointSet.FromRanges([
        new(0x09, 0x0D), new(0x20, 0x20), new(0xA0, 0xA0), new(0x1680, 0x1680), new(0x2000, 0x200A), new(0x2028, 0x2029),
        new(0x202F, 0x202F), new(0x205F, 0x205F), new(0x3000, 0x3000), new(0xFEFF, 0xFEFF)]);

    private readonly string _text;
    private int _position;
    private int _depth;

    private RegexParser(string text) => _text = text;

    public static RegexNode Parse(string pattern)
    {
        RegexParser parser = new(pattern);
        RegexNode node = parser.ParseAlternation();
        if (parser._position < pattern.Length)
            throw parser.Error("unmatched ')'");
        return node;
    }

    private RegexSyntaxException Error(string reason) => new(_position, reason);

    private bool AtEnd => _position >= _text.Length;

    private bool TryTake(char c)
    {
        if (AtEnd || _text[_position] != c)
            return false;
        _position++;
        return true;
    }

    private RegexNode ParseAlternation()
    {
        if (++_depth > MaxDepth)
            throw Error($"groups nest deeper than {MaxDepth}");
        List<RegexNode> branches = [ParseConcat()];
        while (TryTake('|'))
            branches.Add(ParseConcat());
        _depth--;
        return branches.Count == 1 ? branches[0] : new RegexNode.Alternate(branches);
    }

    private RegexNode ParseConcat()
    {
        List<RegexNode> items = [];
        while (!AtEnd && _text[_position] is not ('|' or ')'))
            items.Add(ParseQuantified());
        return items.Count == 1 ? items[0] : new RegexNode.Concat(items);
    }

    private RegexNode ParseQuantified()
    {
        RegexNode atom = ParseAtom();
        while (!AtEnd)
        {
            (int Min, int? Max)? bounds = _text[_position] switch
            {
                '*' => (0, null),
                '+' => (1, null),
                '?' => (0, 1),
                '{' => ParseBraces(),
                _ => null,
            };
            if (bounds is null)
                break;
            if (atom is RegexNode.Begin or RegexNode.End)
                throw Error("an anchor cannot be repeated");
            if (_text[_position] != '{')
                _position++;
            else
                _position = _text.IndexOf('}', _position) + 1;
            if (bounds.Value.Max < bounds.Value.Min)
                throw Error("the quantifier's maximum is below its minimum");
            TryTake('?'); // lazy: the same language
            if (!AtEnd && _text[_position] == '+')
                throw Error("possessive quantifiers are not supported");
            atom = new RegexNode.Repeat(atom, bounds.Value.Min, bounds.Value.Max);
        }
        return atom;
    }

    /// <summary>The bounds of {m}, {m,} or {m,n} at the position, which stays; null when the brace is a literal.</summary>
    private (int, int?)? ParseBraces()
    {
        int close = _text.IndexOf('}', _position);
        if (close < 0)
            return null;
        string[] parts = _text[(_position + 1)..close].Split(',');
        if (parts.Length > 2 || parts[0].Length == 0 || parts.Any(part => part.Any(c => !char.IsAsciiDigit(c))))
            return null;
        int min = ParseCount(parts[0]);
        return (min, parts.Length == 1 ? min : parts[1].Length == 0 ? null : ParseCount(parts[1]));
    }

    private int ParseCount(string digits) => int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count <= Dfa.MaxStates
        ? count
        : throw Error($"a repetition count above {Dfa.MaxStates}");

    private RegexNode ParseAtom()
    {
        char c = _text[_position];
        switch (c)
        {
            case '(':
                return ParseGroup();
            case '[':
                _position++;
                return new RegexNode.Chars(ParseClass());
            case '.':
                _position++;
                return new RegexNode.Chars(LineEnds.Complement());
            case '^':
                _position++;
                return new RegexNode.Begin();
            case '$':
                _position++;
                return new RegexNode.End();
            case '*' or '+' or '?':
                throw Error($"'{c}' has nothing to repeat");
            case '\\':
                _position++;
                return new RegexNode.Chars(ParseEscape(inClass: false));
            default:
                return new RegexNode.Chars(CodePointSet.Of(TakeCodePoint()));
        }
    }

    private RegexNode ParseGroup()
    {
        _position++;
        if (TryTake('?'))
        {
            if (TryTake('P') && !AtEnd && _text[_position] != '<')
                throw Error("unknown group syntax");
            if (TryTake('<'))
            {
                if (!AtEnd && _text[_position] is '=' or '!')
                    throw Error("lookbehind is not supported: it does not describe a regular language position by position");
                int close = _text.IndexOf('>', _position);
                if (close < 0)
                    throw Error("a group name without '>'");
                _position = close + 1;
            }
            else if (!TryTake(':'))
                throw Error(!AtEnd && _text[_position] is '=' or '!' ? "lookahead is not supported" : "inline flags are not supported");
        }
        RegexNode body = ParseAlternation();
        if (!TryTake(')'))
            throw Error("a group without ')'");
        return body;
    }

    private CodePointSet ParseClass()
    {
        bool negated = TryTake('^');
        CodePointSet set = CodePointSet.Empty;
        while (!TryTake(']'))
        {
            (CodePointSet low, bool single) = ParseClassAtom();
            if (single && _position + 1 < _text.Length && _text[_position] == '-' && _text[_position + 1] != ']')
            {
                _position++;
                (CodePointSet high, bool highSingle) = ParseClassAtom();
                if (!highSingle || low.IsEmpty || high.IsEmpty)
                    throw Error("a range must end with one character");
                if (high.Ranges[0].Low < low.Ranges[0].Low)
                    throw Error("a range out of order");
                low = CodePointSet.Of(low.Ranges[0].Low, high.Ranges[0].Low);
            }
            set = set.Union(low);
        }
        return negated ? set.Complement() : set;
    }

    private (CodePointSet Set, bool Single) ParseClassAtom()
    {
        if (AtEnd)
            throw Error("a character class without ']'");
        if (!TryTake('\\'))
            return (CodePointSet.Of(TakeCodePoint()), true);
        bool single = !AtEnd && _text[_position] is not ('d' or 'D' or 'w' or 'W' or 's' or 'S' or 'p' or 'P');
        return (ParseEscape(inClass: true), single);
    }

    private CodePointSet ParseEscape(bool inClass)
    {
        if (AtEnd)
            throw Error("a backslash at the end");
        char c = _text[_position++];
        switch (c)
        {
            case 'd': return Digits;
            case 'D': return Digits.Complement();
            case 'w': return WordChars;
            case 'W': return WordChars.Complement();
            case 's': return Spaces;
            case 'S': return Spaces.Complement();
            case 'n': return CodePointSet.Of('\n');
            case 'r': return CodePointSet.Of('\r');
            case 't': return CodePointSet.Of('\t');
            case 'f': return CodePointSet.Of('\f');
            case 'v': return CodePointSet.Of('\v');
            case '0' when AtEnd || !char.IsAsciiDigit(_text[_position]): return CodePointSet.Of(0);
            case 'x': return CodePointSet.Of(TakeHex(2));
            case 'u': return CodePointSet.Of(TakeUnicodeEscape());
            case 'c' when !AtEnd && char.IsAsciiLetter(_text[_position]): return CodePointSet.Of(_text[_position++] & 0x1F);
            case 'p': return ParseProperty();
            case 'P': return ParseProperty().Complement();
            case 'b' when inClass: return CodePointSet.Of('\b');
            case 'b' or 'B': throw Error("word boundaries are not supported");
            case 'A' or 'Z' or 'z' or 'G': throw Error($"\\{c} is not part of ECMA-262; use ^ and $");
        }
        if (char.IsAsciiDigit(c) || c == 'k')
            throw Error("backreferences are not supported: they do not describe a regular language");
        if (char.IsAsciiLetter(c))
            throw Error($"unknown escape \\{c}");
        _position--;
        return CodePointSet.Of(TakeCodePoint());
    }

    private int TakeUnicodeEscape()
    {
        if (TryTake('{'))
        {
            int close = _text.IndexOf('}', _position);
            if (close < 0 || close - _position is 0 or > 6)
                throw Error("\\u{...} takes 1 to 6 hexadecimal digits");
            int value = TakeHex(close - _position);
            _position++;
            return value <= CodePointSet.MaxCodePoint ? value : throw Error("a code point above 10FFFF");
        }
        int unit = TakeHex(4);
        if (!char.IsHighSurrogate((char)unit) || _position + 6 > _text.Length || _text[_position] != '\\' || _text[_position + 1] != 'u')
            return unit;
        _position += 2;
        int low = TakeHex(4);
        return char.IsLowSurrogate((char)low) ? char.ConvertToUtf32((char)unit, (char)low) : throw Error("a lone surrogate");
    }

    private int TakeHex(int digits)
    {
        if (_position + digits > _text.Length ||
            !int.TryParse(_text.AsSpan(_position, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value))
            throw Error($"expected {digits} hexadecimal digits");
        _position += digits;
        return value;
    }

    private int TakeCodePoint()
    {
        char c = _text[_position++];
        if (!char.IsSurrogate(c))
            return c;
        if (char.IsHighSurrogate(c) && !AtEnd && char.IsLowSurrogate(_text[_position]))
            return char.ConvertToUtf32(c, _text[_position++]);
        throw Error("a lone surrogate");
    }

    private CodePointSet ParseProperty()
    {
        int close = TryTake('{') ? _text.IndexOf('}', _position) : -1;
        if (close < 0)
            throw Error("\\p needs a {general category}");
        string name = _text[_position..close];
        CodePointSet set = UnicodeCategories.Find(name) ?? throw Error($"unknown general category '{name}'");
        _position = close + 1;
        return set;
    }
}
