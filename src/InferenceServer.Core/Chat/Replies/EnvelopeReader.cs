using System.Text;

namespace InferenceServer.Chat.Replies;

/// <summary>
/// A call that is one JSON object, such as <c>{"name": "f", "arguments": {...}}</c>: its keys in any order, by any of their usual names, also within a
/// member <c>function</c>. Arguments are passed on as they come, once the name is known.
/// </summary>
/// <param name="nameIsKey">The one key is the function's name.</param>
/// <param name="isUnmarked">Keys that calls do not have show that this is no call.</param>
internal sealed class EnvelopeReader(CallOutput output, bool nameIsKey, bool isUnmarked)
{
    private enum Role
    {
        Ignored,
        Name,
        Arguments,
        Function,
    }

    private readonly JsonScanner _scanner = new();
    private readonly StringBuilder _key = new();
    private readonly StringBuilder _value = new();
    private Role _role;
    private bool _inValue;
    private int _keyDepth = 1;

    public bool IsDone => _scanner.Position == JsonPosition.Done;

    public ReadStatus Read(ReplyBuffer buffer)
    {
        if (_scanner.Depth == 0)
        {
            buffer.ConsumeSpace();
            if (buffer.Rest is [not '{', ..])
                return ReadStatus.Failed;
        }

        ReadOnlySpan<char> rest = buffer.Rest;
        for (int i = 0; i < rest.Length; i++)
        {
            if (!Take(rest[i]))
                return ReadStatus.Failed;
            if (!IsDone)
                continue;
            buffer.Consume(i + 1);
            if (!output.HasArguments)
                output.Write("{}");
            return ReadStatus.Done;
        }

        buffer.Consume(rest.Length);
        return buffer.IsLast ? ReadStatus.Failed : ReadStatus.NeedMore;
    }

    private bool Take(char c)
    {
        (JsonPosition before, int depth) = (_scanner.Position, _scanner.Depth);
        if (!_scanner.Take(c))
            return false;
        JsonPosition after = _scanner.Position;
        if (depth == _keyDepth && before == JsonPosition.InKey)
        {
            if (after == JsonPosition.InKey)
                _key.Append(c);
            else if (!BeginMember())
                return false;
        }
        else if (depth == _keyDepth && before == JsonPosition.Value && after != JsonPosition.Value)
        {
            if (!BeginValue(c))
                return false;
        }

        if (_inValue)
        {
            if (_role == Role.Arguments && _value.Length == 0 && (c == '{' || output.HasArguments))
                output.Write([c]);
            else
                _value.Append(c);
            if (_scanner.Depth == _keyDepth && after == JsonPosition.AfterValue)
                return EndValue();
        }

        if (_scanner.Depth < _keyDepth && _scanner.Depth > 0)
            _keyDepth = _scanner.Depth;
        return true;
    }

    private bool BeginMember()
    {
        string key = _key.ToString();
        _key.Clear();
        if (nameIsKey)
        {
            _role = Role.Arguments;
            return output.Tool is null && output.TryName(key);
        }

        _role = key switch
        {
            "name" or "tool_name" => Role.Name,
            "arguments" or "parameters" or "args" => Role.Arguments,
            "function" => Role.Function,
            _ => Role.Ignored,
        };
        return _role != Role.Ignored || !isUnmarked || key is "type" or "id" or "call_id" or "tool_call_id";
    }

    private bool BeginValue(char first)
    {
        if (_role == Role.Function && first == '{')
        {
            _keyDepth++;
            return true;
        }

        if (_role == Role.Function)
            _role = Role.Name;
        _inValue = _role != Role.Ignored;
        return _role switch
        {
            Role.Name => first == '"',
            Role.Arguments => first is '{' or '"' or 'n' && !output.HasArguments,
            _ => true,
        };
    }

    private bool EndValue()
    {
        _inValue = false;
        string value = _value.ToString();
        _value.Clear();
        if (_role == Role.Name)
            return JsonWriting.Unquote(value) is { } name && output.TryName(name);
        if (value is not ['"', ..])
            return true;
        // Arguments as JSON within a string: some models were trained on OpenAI's own notation.
        string? arguments = JsonWriting.Unquote(value);
        if (arguments is null || arguments.AsSpan().TrimStart() is not ['{', ..] || !JsonWriting.IsJson(arguments))
            return arguments?.Trim() == "";
        output.Write(arguments);
        return true;
    }
}
