namespace InferenceServer.Chat.Replies;

/// <summary>Where a <see cref="JsonScanner"/> is within the text.</summary>
internal enum JsonPosition
{
    /// <summary>A value must come.</summary>
    Value,

    /// <summary>A value or the end of an array.</summary>
    FirstItem,

    /// <summary>A key or the end of an object.</summary>
    FirstKey,
    Key,
    InKey,
    Colon,
    InString,
    InNumber,
    InWord,

    /// <summary>A comma or the end of what is open.</summary>
    AfterValue,
    Done,
}

/// <summary>Checks one JSON value (RFC 8259) as it comes, character by character.</summary>
internal sealed class JsonScanner
{
    // What JSON parsers read by default.
    private const int MaxDepth = 64;

    private static readonly string[] Words = ["true", "false", "null"];

    private readonly Stack<char> _open = [];
    private readonly System.Text.StringBuilder _number = new();
    private string _word = "";
    private int _wordAt;
    private int _escape; // 0: none, 1: after the backslash, 2 to 5: hexadecimal digits to come plus one.

    public JsonPosition Position { get; private set; }

    public int Depth => _open.Count;

    /// <summary>Takes a character in; false when no JSON goes on that way. A number at the top ends only with <see cref="EndNumber"/>.</summary>
    public bool Take(char c) => Position switch
    {
        JsonPosition.InKey or JsonPosition.InString => TakeInString(c),
        JsonPosition.InWord => TakeInWord(c),
        JsonPosition.InNumber => TakeInNumber(c),
        JsonPosition.Done => IsSpace(c),
        _ => IsSpace(c) || TakeStructure(c),
    };

    private bool TakeStructure(char c)
    {
        switch (Position, c)
        {
            case (JsonPosition.FirstKey or JsonPosition.Key, '"'):
                Position = JsonPosition.InKey;
                return true;
            case (JsonPosition.Colon, ':'):
                Position = JsonPosition.Value;
                return true;
            case (JsonPosition.AfterValue, ',') when _open.Count > 0:
                Position = _open.Peek() == '{' ? JsonPosition.Key : JsonPosition.Value;
                return true;
            case (JsonPosition.FirstKey, '}') or (JsonPosition.FirstItem, ']'):
            case (JsonPosition.AfterValue, '}') when _open.TryPeek(out char brace) && brace == '{':
            case (JsonPosition.AfterValue, ']') when _open.TryPeek(out char bracket) && bracket == '[':
                _open.Pop();
                EndValue();
                return true;
            case (JsonPosition.Value or JsonPosition.FirstItem, _):
                return BeginValue(c);
            default:
                return false;
        }
    }

    private bool BeginValue(char c)
    {
        switch (c)
        {
            case '{' or '[':
                _open.Push(c);
                Position = c == '{' ? JsonPosition.FirstKey : JsonPosition.FirstItem;
                return _open.Count <= MaxDepth;
            case '"':
                Position = JsonPosition.InString;
                return true;
            case '-' or (>= '0' and <= '9'):
                _number.Clear().Append(c);
                Position = JsonPosition.InNumber;
                return true;
            default:
                _word = Array.Find(Words, word => word[0] == c) ?? "";
                _wordAt = 1;
                Position = JsonPosition.InWord;
                return _word.Length > 0;
        }
    }

    private bool TakeInString(char c)
    {
        if (_escape > 1)
        {
            _escape = _escape == 2 ? 0 : _escape - 1;
            return char.IsAsciiHexDigit(c);
        }

        if (_escape == 1)
        {
            _escape = c == 'u' ? 5 : 0;
            return c is '"' or '\\' or '/' or 'b' or 'f' or 'n' or 'r' or 't' or 'u';
        }

        if (c == '"' && Position == JsonPosition.InKey)
            Position = JsonPosition.Colon;
        else if (c == '"')
            EndValue();
        else if (c == '\\')
            _escape = 1;
        return c >= ' ';
    }

    private bool TakeInWord(char c)
    {
        if (_word[_wordAt] != c)
            return false;
        if (++_wordAt == _word.Length)
            EndValue();
        return true;
    }

    private bool TakeInNumber(char c)
    {
        if (char.IsAsciiDigit(c) || c is '.' or 'e' or 'E' or '+' or '-')
        {
            _number.Append(c);
            return _number.Length < 400;
        }

        return EndNumber() && Take(c);
    }

    private bool EndNumber()
    {
        EndValue();
        return IsNumber(_number.ToString());
    }

    private void EndValue() => Position = _open.Count == 0 ? JsonPosition.Done : JsonPosition.AfterValue;

    public static bool IsNumber(string text)
    {
        System.Text.Json.Utf8JsonReader reader = new(System.Text.Encoding.ASCII.GetBytes(text));
        try
        {
            return reader.Read() && reader.TokenType == System.Text.Json.JsonTokenType.Number && reader.BytesConsumed == text.Length;
        }
        catch (System.Text.Json.JsonException)
        {
            return false;
        }
    }

    private static bool IsSpace(char c) => c is ' ' or '\t' or '\n' or '\r';
}
