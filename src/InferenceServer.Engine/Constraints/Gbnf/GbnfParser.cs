// Reads llama.cpp's GBNF notation: rules, literals, character classes, `.`, groups, repetition, comments, unicode escapes, and <token> references.
// Every error names its line and column. Left recursion is found later, when the grammar is compiled.

using System.Globalization;
using System.Text;
using InferenceServer.Engine.Constraints.Automaton;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.Gbnf;

internal sealed class GbnfParser
{
    /// <summary>Deeper groups would overflow the parser's own stack.</summary>
    private const int MaxDepth = 200;

    /// <summary>As much as a grammar of this kind ever needs; the automaton has its own limit.</summary>
    private const int MaxCharacters = 1 << 20;

    private const int MaxRepetitions = 100_000;

    private readonly string _text;
    private readonly Dictionary<string, GrammarRule> _rules = [];
    private readonly Dictionary<string, int> _firstUse = [];
    private int _position;
    private int _depth;

    private GbnfParser(string text) => _text = text;

    /// <exception cref="ConstraintException">Malformed; the path is line and column.</exception>
    public static GrammarRule Parse(string grammar)
    {
        GbnfParser parser = new(grammar);
        if (grammar.Length > MaxCharacters)
            throw parser.Error($"the grammar is longer than {MaxCharacters} characters");
        parser.SkipSpace(newlines: true);
        while (!parser.AtEnd)
            parser.ParseRule();
        foreach ((string name, GrammarRule rule) in parser._rules)
            if (rule.Body is null)
                throw parser.Error($"the rule '{name}' is not defined", parser._firstUse[name]);
        return parser._rules.TryGetValue("root", out GrammarRule? root) ? root : throw parser.Error("the grammar has no rule named 'root'");
    }

    private bool AtEnd => _position >= _text.Length;

    private ConstraintException Error(string reason, int? position = null)
    {
        ReadOnlySpan<char> before = _text.AsSpan(0, Math.Min(position ?? _position, _text.Length));
        int line = before.Count('\n') + 1;
        int column = before.Length - before.LastIndexOf('\n');
        return new($"line {line}, column {column}", reason);
    }

    private bool TryTake(char c)
    {
        if (AtEnd || _text[_position] != c)
            return false;
        _position++;
        return true;
    }

    private void SkipSpace(bool newlines)
    {
        for (; !AtEnd; _position++)
        {
            char c = _text[_position];
            if (c == '#')
                while (_position + 1 < _text.Length && _text[_position + 1] is not ('\n' or '\r'))
                    _position++;
            else if (c is not (' ' or '\t') && !(newlines && c is '\n' or '\r'))
                return;
        }
    }

    private static bool IsNameCharacter(char c) => char.IsAsciiLetterOrDigit(c) || c is '-' or '_';

    private string TakeName()
    {
        int start = _position;
        while (!AtEnd && IsNameCharacter(_text[_position]))
            _position++;
        return _position > start ? _text[start.._position] : throw Error("expected a rule's name");
    }

    private GrammarRule RuleOf(string name, int position)
    {
        if (!_rules.TryGetValue(name, out GrammarRule? rule))
        {
            _rules.Add(name, rule = new(name));
            _firstUse.Add(name, position);
        }
        return rule;
    }

    private void ParseRule()
    {
        int start = _position;
        string name = TakeName();
        SkipSpace(newlines: false);
        if (string.CompareOrdinal(_text, _position, "::=", 0, 3) != 0)
            throw Error($"expected '::=' after the rule's name '{name}'");
        _position += 3;
        SkipSpace(newlines: true);
        GrammarRule rule = RuleOf(name, start);
        if (rule.Body is not null)
            throw Error($"the rule '{name}' is defined twice", start);
        rule.Body = ParseAlternatives(nested: false);
        if (!AtEnd && _text[_position] is not ('\n' or '\r'))
            throw Error(_text[_position] == ')' ? "unmatched ')'" : $"unexpected '{_text[_position]}'");
        SkipSpace(newlines: true);
    }

    private Expression ParseAlternatives(bool nested)
    {
        if (++_depth > MaxDepth)
            throw Error($"groups nest deeper than {MaxDepth}");
        List<Expression> branches = [ParseSequence(nested)];
        while (TryTake('|'))
        {
            SkipSpace(newlines: true);
            branches.Add(ParseSequence(nested));
        }
        _depth--;
        return branches.Count == 1 ? branches[0] : new Expression.Choice(branches);
    }

    private Expression ParseSequence(bool nested)
    {
        List<Expression> items = [];
        while (!AtEnd && ParseSymbol(nested) is { } symbol)
            items.Add(symbol);
        return items.Count == 1 ? items[0] : new Expression.Sequence(items);
    }

    private Expression? ParseSymbol(bool nested)
    {
        Expression symbol;
        char c = _text[_position];
        if (c == '"')
            symbol = ParseLiteral();
        else if (c == '[')
            symbol = ParseClass();
        else if (c == '(')
            symbol = ParseGroup();
        else if (c == '<')
            symbol = ParseToken();
        else if (c == '!')
            throw Error("negated tokens are not supported; use a character class");
        else if (TryTake('.'))
            symbol = new Expression.Characters(CodePointSet.All);
        else if (IsNameCharacter(c))
        {
            int start = _position;
            symbol = new Expression.Reference(RuleOf(TakeName(), start));
        }
        else if (c is '*' or '+' or '?' or '{')
            throw Error($"'{c}' has nothing to repeat");
        else
            return null;
        SkipSpace(nested);
        while (!AtEnd && _text[_position] is '*' or '+' or '?' or '{')
        {
            symbol = ParseRepetition(symbol);
            SkipSpace(nested);
        }
        return symbol;
    }

    private Expression.Repeat ParseRepetition(Expression body)
    {
        switch (_text[_position++])
        {
            case '*': return new(body, 0, null);
            case '+': return new(body, 1, null);
            case '?': return new(body, 0, 1);
        }
        SkipSpace(newlines: false);
        int min = TakeCount();
        int? max = min;
        SkipSpace(newlines: false);
        if (TryTake(','))
        {
            SkipSpace(newlines: false);
            max = !AtEnd && _text[_position] != '}' ? TakeCount() : null;
            SkipSpace(newlines: false);
        }
        if (max < min)
            throw Error("the maximum of a repetition is below its minimum");
        return TryTake('}') ? new(body, min, max) : throw Error("expected '}'");
    }

    private int TakeCount()
    {
        int start = _position;
        while (!AtEnd && char.IsAsciiDigit(_text[_position]))
            _position++;
        if (_position == start)
            throw Error("expected a number");
        return int.TryParse(_text.AsSpan(start, _position - start), NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count <= MaxRepetitions
            ? count : throw Error($"a repetition count above {MaxRepetitions}", start);
    }

    private Expression ParseGroup()
    {
        int start = _position++;
        SkipSpace(newlines: true);
        Expression body = ParseAlternatives(nested: true);
        return TryTake(')') ? body : throw Error(AtEnd ? "this '(' is never closed" : $"unexpected '{_text[_position]}'", AtEnd ? start : null);
    }

    /// <summary>A token by its text: the control token of that name, or the same text spelled by ordinary tokens.</summary>
    private Expression.Choice ParseToken()
    {
        int start = _position++;
        if (!AtEnd && _text[_position] == '[')
            throw Error("tokens by number are not supported; name the token by its text");
        int close = _text.AsSpan(start).IndexOfAny('>', '\n') + start;
        if (close <= start + 1 || _text[close] != '>')
            throw Error("expected a token such as <think>", start);
        _position = close + 1;
        string name = _text[start.._position];
        return new([new Expression.ControlToken(name, IsRequired: false), Expression.Text(name)]);
    }

    private Expression.Literal ParseLiteral()
    {
        int start = _position++;
        StringBuilder text = new();
        while (!TryTake('"'))
        {
            if (AtEnd || _text[_position] is '\n' or '\r')
                throw Error("this literal is never closed", start);
            text.Append(new Rune(TakeCharacter()).ToString());
        }
        return new(Encoding.UTF8.GetBytes(text.ToString()));
    }

    private Expression.Characters ParseClass()
    {
        int start = _position++;
        bool negated = TryTake('^');
        List<CodePointRange> ranges = [];
        while (!TryTake(']'))
        {
            if (AtEnd || _text[_position] is '\n' or '\r')
                throw Error("this character class is never closed", start);
            int low = TakeCharacter(), high = low;
            if (_position + 1 < _text.Length && _text[_position] == '-' && _text[_position + 1] != ']')
            {
                _position++;
                high = TakeCharacter();
                if (high < low)
                    throw Error("a range out of order");
            }
            ranges.Add(new(low, high));
        }
        CodePointSet set = CodePointSet.FromRanges(ranges);
        return new(negated ? set.Complement() : set);
    }

    private int TakeCharacter()
    {
        int start = _position;
        if (!TryTake('\\'))
        {
            if (!Rune.TryGetRuneAt(_text, _position, out Rune rune))
                throw Error("a lone surrogate");
            _position += rune.Utf16SequenceLength;
            return rune.Value;
        }
        if (AtEnd)
            throw Error("a backslash at the end", start);
        char c = _text[_position++];
        return c switch
        {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '\\' or '"' or '[' or ']' or '-' or '^' => c,
            'x' => TakeHex(2, start),
            'u' => TakeHex(4, start),
            'U' => TakeHex(8, start),
            _ => throw Error($"unknown escape \\{c}", start),
        };
    }

    private int TakeHex(int digits, int start)
    {
        if (_position + digits > _text.Length ||
            !uint.TryParse(_text.AsSpan(_position, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint value))
            throw Error($"expected {digits} hexadecimal digits", start);
        _position += digits;
        return Rune.IsValid(value) ? (int)value : throw Error("not a Unicode character", start);
    }
}
