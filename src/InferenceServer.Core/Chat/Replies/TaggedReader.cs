using System.Text;
using System.Text.Json;

namespace InferenceServer.Chat.Replies;

/// <summary>Arguments between tags. A value that can only be a string is passed on as it comes; any other once it is whole.</summary>
/// <param name="close">What follows the last parameter.</param>
internal sealed class TaggedReader(ArgumentSyntax.Tagged syntax, CallOutput output, string close) : IArgumentReader
{
    private const string DataOpen = "<![CDATA[";
    private const int MaxKeyLength = 256;

    private readonly string _open = syntax.ParameterOpen.Trim();
    private readonly string[] _valueOpens =
        [.. (syntax.ValueOpenByType?.Values ?? []).Prepend(syntax.ValueOpen).Select(text => text.TrimEnd()).Distinct().OrderByDescending(text => text.Length)];

    private readonly string _keyEnds = string.Concat((syntax.ValueOpenByType?.Values ?? []).Prepend(syntax.ValueOpen).Select(text => text.TrimStart()[0]).Distinct());

    private bool _inValue;
    private bool _isFirst = true;
    private bool _atValueStart;
    private bool _streams;
    private bool? _isString;
    private string _key = "";
    private string _close = "";

    public ReadStatus Read(ReplyBuffer buffer)
    {
        while (true)
        {
            if (!_inValue)
            {
                ReadStatus? begun = BeginParameter(buffer);
                if (begun is { } status)
                    return status;
            }

            ReadStatus value = ReadValue(buffer);
            if (value != ReadStatus.Done)
                return value;
            _inValue = false;
        }
    }

    /// <summary>Up to the value; null once that can be read.</summary>
    private ReadStatus? BeginParameter(ReplyBuffer buffer)
    {
        buffer.ConsumeSpace();
        ReadOnlySpan<char> rest = buffer.Rest;
        ReadStatus wait = buffer.IsLast ? ReadStatus.Failed : ReadStatus.NeedMore;
        if (close.Length == 0)
            return ReadStatus.Failed;
        MarkerMatch end = MarkerText.Match(rest, close, out _);
        if (end == MarkerMatch.Partial)
            return wait;
        if (end == MarkerMatch.Full)
        {
            output.Write(_isFirst ? "{}" : "}");
            return ReadStatus.Done;
        }

        MarkerMatch open = MarkerText.Match(rest, _open, out int length);
        if (open != MarkerMatch.Full)
            return open == MarkerMatch.Partial ? wait : ReadStatus.Failed;
        ReadOnlySpan<char> key = rest[length..];
        int keyLength = key.IndexOfAny(_keyEnds);
        if (keyLength < 0)
            return key.Length > MaxKeyLength ? ReadStatus.Failed : wait;
        string? found = null;
        int openLength = 0;
        foreach (string valueOpen in _valueOpens)
        {
            MarkerMatch match = MarkerText.Match(key[keyLength..], valueOpen.TrimStart(), out openLength);
            if (match == MarkerMatch.Partial)
                return wait;
            if (match == MarkerMatch.Full)
            {
                found = valueOpen;
                break;
            }
        }

        if (found is null)
            return ReadStatus.Failed;
        _key = key[..keyLength].Trim().ToString();
        buffer.Consume(length + keyLength + openLength);
        BeginValue(found);
        return null;
    }

    private void BeginValue(string valueOpen)
    {
        _isString = _valueOpens.Length == 1 ? null : valueOpen == syntax.ValueOpen.TrimEnd();
        _close = syntax.ParameterClose.Trim().Replace(ArgumentSyntax.KeyMark.ToString(), _key, StringComparison.Ordinal);
        _streams = !syntax.CharacterData && (_isString ?? output.Tool!.TypesOf(output.Tool.Parameter(_key)) == JsonTypes.String);
        (_inValue, _atValueStart) = (true, true);
        output.Write($"{(_isFirst ? "{" : ",")}{JsonWriting.Quote(_key)}:{(_streams ? "\"" : "")}");
        _isFirst = false;
    }

    private ReadStatus ReadValue(ReplyBuffer buffer)
    {
        ReadStatus wait = buffer.IsLast ? ReadStatus.Failed : ReadStatus.NeedMore;
        if (_atValueStart)
        {
            if (buffer.Rest.IsEmpty)
                return wait;
            // A line break that the template sets around values is no part of them.
            if (syntax.ValueOpen.EndsWith('\n') && buffer.Rest[0] == '\n')
                buffer.Consume(1);
            _atValueStart = false;
        }

        ReadOnlySpan<char> rest = buffer.Rest;
        string end = _close;
        if (syntax.CharacterData)
        {
            MarkerMatch data = MarkerText.Match(rest, DataOpen, out _);
            if (data == MarkerMatch.Partial)
                return wait;
            end = data == MarkerMatch.Full ? "]]>" + _close : _close;
        }

        MarkerMatch found = MarkerText.Find(rest, end, out int index, out int length);
        ReadOnlySpan<char> value = rest[..index];
        if (syntax.ParameterClose.StartsWith('\n') && value is [.., '\n'])
            value = value[..^1];
        if (found == MarkerMatch.Full)
        {
            output.Write(_streams ? JsonWriting.Escape(value) + "\"" : ToJson(value, end.Length > _close.Length));
            buffer.Consume(index + length);
            return ReadStatus.Done;
        }

        if (_streams)
        {
            output.Write(JsonWriting.Escape(value));
            buffer.Consume(value.Length);
        }

        return wait;
    }

    private string ToJson(ReadOnlySpan<char> value, bool isCharacterData)
    {
        if (isCharacterData)
            return JsonWriting.Quote(value[(value.IndexOf(DataOpen) + DataOpen.Length)..]);
        ToolSignature tool = output.Tool!;
        JsonElement? schema = tool.Parameter(_key);
        return _isString == true ? JsonWriting.Quote(value)
            : syntax.NestedTags ? Nested(value, schema)
            : Scalar(value, schema, _isString == false ? JsonTypes.Any & ~JsonTypes.String : tool.TypesOf(schema));
    }

    /// <summary>A value without quotes: a string where the schema has it so, else what it reads as.</summary>
    private string Scalar(ReadOnlySpan<char> value, JsonElement? schema, JsonTypes types)
    {
        if (types == JsonTypes.String || output.Tool!.Lists(schema, value.ToString()))
            return JsonWriting.Quote(value);
        if (LiteralParser.ToJson(value) is not { } json)
            return JsonWriting.Quote(value);
        JsonTypes type = json[0] switch
        {
            '"' => JsonTypes.String,
            '{' => JsonTypes.Object,
            '[' => JsonTypes.Array,
            't' or 'f' => JsonTypes.Boolean,
            'n' => JsonTypes.Null,
            _ => JsonTypes.Number,
        };
        // Strings are written bare here: one in quotes has them for its own.
        bool isString = types.HasFlag(JsonTypes.String) && (type == JsonTypes.String || !types.HasFlag(type));
        return isString ? JsonWriting.Quote(value) : json;
    }

    /// <summary>Objects and arrays written by the same tags within a value.</summary>
    private string Nested(ReadOnlySpan<char> value, JsonElement? schema)
    {
        ToolSignature tool = output.Tool!;
        JsonTypes types = tool.TypesOf(schema);
        ReadOnlySpan<char> rest = value.Trim();
        if (rest.IsEmpty && types is JsonTypes.Object or JsonTypes.Array)
            return types == JsonTypes.Object ? "{}" : "[]";
        List<(string Key, string Json)> members = [];
        while (MarkerText.Match(rest, _open, out int length) == MarkerMatch.Full)
        {
            rest = rest[length..];
            int keyLength = rest.IndexOf(syntax.ValueOpen.Trim());
            if (keyLength <= 0)
                break;
            string key = rest[..keyLength].ToString();
            rest = rest[(keyLength + syntax.ValueOpen.Trim().Length)..];
            string end = syntax.ParameterClose.Trim().Replace(ArgumentSyntax.KeyMark.ToString(), key, StringComparison.Ordinal);
            if (MarkerText.Find(rest, end, out int index, out int closed) != MarkerMatch.Full)
                break;
            members.Add((key, Nested(rest[..index], key == "item" ? tool.Items(schema) : tool.Property(schema, key))));
            rest = rest[(index + closed)..].TrimStart();
        }

        if (members.Count == 0 || !rest.IsEmpty)
            return Scalar(value, schema, types);
        StringBuilder json = new();
        bool isArray = types.HasFlag(JsonTypes.Array) && members.TrueForAll(member => member.Key == "item");
        foreach ((string key, string item) in members)
            json.Append(json.Length > 0 ? "," : "").Append(isArray ? item : $"{JsonWriting.Quote(key)}:{item}");
        return isArray ? $"[{json}]" : $"{{{json}}}";
    }
}
