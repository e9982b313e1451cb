// The tojson filter as Hugging Face sets it up: Python's json.dumps, with no escaping of HTML.

using System.Globalization;

namespace InferenceServer.Chat.Templates;

internal sealed class PythonJson
{
    private readonly RenderState _state;
    private readonly bool _asciiOnly;
    private readonly bool _sortKeys;
    private readonly string? _indent;
    private readonly string _itemSeparator;
    private readonly string _keySeparator;

    private PythonJson(RenderState state, bool asciiOnly, string? indent, string itemSeparator, string keySeparator, bool sortKeys)
    {
        _state = state;
        _asciiOnly = asciiOnly;
        _indent = indent;
        _itemSeparator = itemSeparator;
        _keySeparator = keySeparator;
        _sortKeys = sortKeys;
    }

    /// <summary>tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)</summary>
    public static TemplateValue Filter(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        string? indent = args[1].Kind switch
        {
            TemplateValueKind.Undefined or TemplateValueKind.None => null,
            TemplateValueKind.String => args[1].AsText,
            TemplateValueKind.Integer or TemplateValueKind.Boolean => new string(' ', (int)Math.Clamp(args[1].AsLong, 0, 1024)),
            _ => throw new TemplateException("tojson: indent is a number of spaces or a string"),
        };
        string itemSeparator = indent is null ? ", " : ",";
        string keySeparator = ": ";
        if (!args[2].IsMissing && !args[2].IsNone)
        {
            if (args[2].AsList is not { Count: 2 } pair || pair[0].AsText is not string item || pair[1].AsText is not string key)
                throw new TemplateException("tojson: separators is a pair of strings");
            (itemSeparator, keySeparator) = (item, key);
        }
        PythonJson writer = new(state, args[0].IsTruthy, indent, itemSeparator, keySeparator, args[3].IsTruthy);
        int mark = state.Output.Length;
        writer.Append(value, 0);
        state.Reserve(state.Output.Length - mark);
        return TemplateValue.From(state.Output.CutFrom(mark));
    }

    private void Append(TemplateValue value, int level)
    {
        _state.Charge();
        switch (value.Kind)
        {
            case TemplateValueKind.None:
                _state.Output.Append("null");
                break;
            case TemplateValueKind.Boolean:
                _state.Output.Append(value.AsBoolean ? "true" : "false");
                break;
            case TemplateValueKind.Float:
                _state.Output.Append(FloatText(value.AsDouble));
                break;
            case TemplateValueKind.Integer or TemplateValueKind.BigInteger:
                PythonText.AppendRepr(_state, value);
                break;
            case TemplateValueKind.String or TemplateValueKind.Markup:
                AppendQuoted(value.AsText!);
                break;
            case TemplateValueKind.List or TemplateValueKind.Tuple:
                AppendList(value.AsList!, level);
                break;
            case TemplateValueKind.Dict:
                AppendDict(value.AsDict!, level);
                break;
            default:
                throw new TemplateException($"Object of type {value.TypeName} is not JSON serializable");
        }
    }

    private static string FloatText(double value) =>
        double.IsNaN(value) ? "NaN" : double.IsInfinity(value) ? value > 0 ? "Infinity" : "-Infinity" : PythonNumbers.Repr(value);

    private void AppendList(TemplateList list, int level)
    {
        RuntimeGuard.Stack();
        if (list.Count == 0)
        {
            _state.Output.Append("[]");
            return;
        }
        _state.Output.Append("[");
        for (int i = 0; i < list.Count; i++)
        {
            AppendBreak(i > 0, level + 1);
            Append(list[i], level + 1);
        }
        AppendNewline(level);
        _state.Output.Append("]");
    }

    private void AppendDict(TemplateDict dict, int level)
    {
        RuntimeGuard.Stack();
        if (dict.Count == 0)
        {
            _state.Output.Append("{}");
            return;
        }
        IEnumerable<KeyValuePair<TemplateValue, TemplateValue>> entries = dict.Entries;
        if (_sortKeys)
            entries = Sorting.Sorted(_state, dict.Entries, entry => entry.Key, isReversed: false);
        _state.Output.Append("{");
        bool isFirst = true;
        foreach ((TemplateValue key, TemplateValue value) in entries)
        {
            AppendBreak(!isFirst, level + 1);
            isFirst = false;
            AppendQuoted(KeyText(key));
            _state.Output.Append(_keySeparator);
            Append(value, level + 1);
        }
        AppendNewline(level);
        _state.Output.Append("}");
    }

    private static string KeyText(TemplateValue key) => key.Kind switch
    {
        TemplateValueKind.String or TemplateValueKind.Markup => key.AsText!,
        TemplateValueKind.None => "null",
        TemplateValueKind.Boolean => key.AsBoolean ? "true" : "false",
        TemplateValueKind.Float => FloatText(key.AsDouble),
        TemplateValueKind.Integer or TemplateValueKind.BigInteger => key.AsBigInteger.ToString(CultureInfo.InvariantCulture),
        _ => throw new TemplateException($"keys must be str, int, float, bool or None, not {key.TypeName}"),
    };

    private void AppendBreak(bool follows, int level)
    {
        if (follows)
            _state.Output.Append(_itemSeparator);
        AppendNewline(level);
    }

    private void AppendNewline(int level)
    {
        if (_indent is null)
            return;
        _state.Output.Append("\n");
        for (int i = 0; i < level; i++)
            _state.Output.Append(_indent);
    }

    private void AppendQuoted(string text)
    {
        OutputBuffer output = _state.Output;
        output.Append("\"");
        int plainStart = 0;
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c is >= ' ' and not ('"' or '\\') && (c < '\x7f' || !_asciiOnly))
                continue;
            if (c == '\x7f')
                continue;
            output.Append(text.AsSpan(plainStart, i - plainStart));
            plainStart = i + 1;
            output.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\b' => "\\b",
                '\f' => "\\f",
                _ => string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
            });
        }
        output.Append(text.AsSpan(plainStart));
        output.Append("\"");
    }
}
