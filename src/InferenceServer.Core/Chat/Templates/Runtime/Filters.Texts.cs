using System.Globalization;
using System.Text;

namespace InferenceServer.Chat.Templates;

internal static partial class Filters
{
    private static IEnumerable<Builtin> OfTexts() =>
    [
        Mapped("upper", PythonStrings.Upper),
        Mapped("lower", PythonStrings.Lower),
        Mapped("capitalize", PythonStrings.Capitalize),
        Mapped("title", Title),
        new("string", "", (state, value, _) => value.IsText ? value : state.Text(PythonText.String(state, value))),
        new("safe", "", (state, value, _) => state.Markup(PythonText.String(state, value))),
        .. Named("", (state, value, _) => value.Kind == TemplateValueKind.Markup ? value : state.Markup(PythonText.Escaped(state, value)), "e", "escape"),
        new("forceescape", "", (state, value, _) => state.Markup(MarkupText.Escape(PythonText.String(state, value)))),
        new("trim", "chars?", (state, value, args) => state.TextLike(value, PythonStrings.Strip(
            PythonText.String(state, value), args[0].IsMissing || args[0].IsNone ? null : args[0].AsText ?? throw new TemplateException("trim takes a string of characters")).ToString())),
        new("replace", "old new count?", Replace),
        new("format", (state, value, arguments) => Format(state, value, arguments)),
        new("indent", "width? first? blank?", Indent),
        new("truncate", "length? killwords? end? leeway?", Truncate),
        new("wordwrap", "width? break_long_words? wrapstring? break_on_hyphens?", WordWrap),
        new("wordcount", "", (state, value, _) => CountWords(PythonText.String(state, value))),
        new("center", "width?", (state, value, args) => StringMethods.Center(state, Soft(state, value), args[0].IsMissing ? 80 : Integer(args[0]))),
        new("striptags", "", (state, value, _) => state.Text(StripTags(PythonText.String(state, value)))),
        new("urlencode", "", UrlEncode),
        new("xmlattr", "autospace?", XmlAttributes),
        new("urlize", (_, _, _) => throw new TemplateException("the filter urlize is not supported")),
        new("pprint", "", (state, value, _) => state.Text(PythonText.Repr(state, value))),
    ];

    private static Builtin Mapped(string name, Func<string, string> map) =>
        new(name, "", (state, value, _) => state.TextLike(value, map(PythonText.String(state, value))));

    private static string Text(RenderState state, TemplateValue value) => value.IsUndefined
        ? throw Operators.UndefinedUse(value) : PythonText.String(state, value);

    /// <summary>The value if it is a string already, else its text.</summary>
    private static TemplateValue Soft(RenderState state, TemplateValue value) => value.IsText ? value : PythonText.String(state, value);

    /// <summary>Upper-cases what follows a space, '-', '(', '{', '[' or '&lt;': not the same as str.title().</summary>
    private static string Title(string text)
    {
        StringBuilder title = new(text.Length);
        bool isFirst = true;
        foreach (string point in PythonStrings.CodePoints(text))
        {
            bool isSeparator = PythonStrings.IsSpace(point[0]) || point is "-" or "(" or "{" or "[" or "<";
            title.Append(isSeparator ? point : isFirst ? PythonStrings.Upper(point) : PythonStrings.Lower(point));
            isFirst = isSeparator;
        }
        return title.ToString();
    }

    private static TemplateValue Join(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        Func<TemplateValue, TemplateValue>? getter = args[1].IsMissing || args[1].IsNone ? null : Getter(state, args[1]);
        TemplateValue separator = Or(args[0], TemplateValue.Empty);
        if (state.AutoEscape)
            return JoinEscaping(state, value, separator, getter);
        string between = PythonText.String(state, separator);
        // The output's end is the scratch space; an item that prints itself through a macro leaves it as it was.
        int mark = state.Output.Length;
        bool isFirst = true;
        foreach (TemplateValue item in Iteration.Of(state, value))
        {
            if (!isFirst)
                state.Output.Append(between);
            isFirst = false;
            PythonText.AppendString(state, getter is null ? item : getter(item));
        }
        state.Reserve(state.Output.Length - mark);
        return TemplateValue.From(state.Output.CutFrom(mark));
    }

    private static TemplateValue JoinEscaping(
        RenderState state, TemplateValue value, TemplateValue separator, Func<TemplateValue, TemplateValue>? getter)
    {
        List<TemplateValue> items = Iteration.ToList(state, value);
        if (getter is not null)
            items = items.ConvertAll(item => getter(item));
        bool isMarkup = separator.Kind == TemplateValueKind.Markup || items.Exists(item => item.Kind == TemplateValueKind.Markup);
        string Show(TemplateValue item) => isMarkup ? PythonText.Escaped(state, item) : PythonText.String(state, item);
        string joined = string.Join(Show(separator), items.Select(Show));
        return isMarkup ? state.Markup(joined) : state.Text(joined);
    }

    private static TemplateValue Replace(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        long count = args[2].IsMissing || args[2].IsNone ? -1 : Integer(args[2]);
        string old = PythonText.String(state, args[0]);
        string replacement = PythonText.String(state, args[1]);
        if (!state.AutoEscape)
            return StringMethods.Replace(state, PythonText.String(state, value), old, replacement, count);
        bool escapes = args[0].Kind == TemplateValueKind.Markup || args[1].Kind == TemplateValueKind.Markup;
        TemplateValue text = escapes ? state.Markup(PythonText.Escaped(state, value)) : Soft(state, value);
        bool isMarkup = text.Kind == TemplateValueKind.Markup;
        return StringMethods.Replace(
            state, text, isMarkup ? PythonText.Escaped(state, args[0]) : old, isMarkup ? PythonText.Escaped(state, args[1]) : replacement, count);
    }

    private static TemplateValue Format(RenderState state, TemplateValue value, CallArguments arguments)
    {
        if (arguments.Positional.Length > 0 && arguments.Named.Length > 0)
            throw new TemplateException("can't handle positional and keyword arguments at the same time");
        TemplateValue values = TemplateList.Tuple(arguments.Positional);
        if (arguments.Named.Length > 0)
        {
            TemplateDict dict = new();
            foreach ((string name, TemplateValue argument) in arguments.Named)
                dict.Set(name, argument);
            values = dict;
        }
        return PythonFormat.Percent(state, Soft(state, value), values);
    }

    private static TemplateValue Indent(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        if (!value.IsText)
            throw (value.IsUndefined ? Operators.UndefinedUse(value) : new TemplateException($"indent takes a string, not '{value.TypeName}'"));
        long width = args[0].IsMissing ? 4 : args[0].IsText ? 0 : Math.Max(0, Integer(args[0]));
        state.Reserve(width);
        string indention = args[0].AsText ?? new string(' ', (int)width);
        List<string> lines = PythonStrings.SplitLines(value.AsText + "\n", keepEnds: false);
        state.Reserve(value.AsText!.Length + ((long)lines.Count * indention.Length));
        StringBuilder text = new();
        if (args[1].IsTruthy)
            text.Append(indention);
        for (int i = 0; i < lines.Count; i++)
        {
            if (i > 0)
                text.Append('\n').Append(args[2].IsTruthy || lines[i].Length > 0 ? indention : "");
            text.Append(lines[i]);
        }
        return state.TextLike(value, text.ToString());
    }

    private static TemplateValue Truncate(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        string end = args[2].IsMissing ? "..." : Text(state, args[2]);
        long length = args[0].IsMissing ? 255 : Integer(args[0]);
        long leeway = args[3].IsMissing || args[3].IsNone ? 5 : Integer(args[3]);
        if (length < PythonStrings.Length(end) || leeway < 0)
            throw new TemplateException($"truncate: a length of {length} is too small, or a leeway of {leeway} is negative");
        if (Length(state, value).AsLong <= length + leeway)
            return value;
        string text = value.AsText ?? throw new TemplateException($"truncate takes a string, not '{value.TypeName}'");
        string cut = text[..PythonStrings.UnitIndex(text, (int)length - PythonStrings.Length(end))];
        int space = args[1].IsTruthy ? -1 : cut.LastIndexOf(' ');
        return state.TextLike(value, (space < 0 ? cut : cut[..space]) + end);
    }

    private static int CountWords(string text)
    {
        int count = 0;
        bool inWord = false;
        foreach (Rune rune in text.EnumerateRunes())
        {
            bool isWord = rune.Value == '_' || Rune.IsLetterOrDigit(rune) || Rune.IsNumber(rune);
            count += isWord && !inWord ? 1 : 0;
            inWord = isWord;
        }
        return count;
    }

    private static string StripTags(string text)
    {
        StringBuilder stripped = new(text.Length);
        int at = 0;
        // Comments first, since they may hold tags; what is never closed stays.
        text = Without(text, "<!--", "-->");
        text = Without(text, "<", ">");
        foreach (string word in PythonStrings.SplitSpace(text, -1))
            stripped.Append(at++ > 0 ? " " : "").Append(word);
        return System.Net.WebUtility.HtmlDecode(stripped.ToString());
    }

    private static string Without(string text, string open, string close)
    {
        StringBuilder rest = new(text.Length);
        int from = 0;
        while (text.IndexOf(open, from, StringComparison.Ordinal) is int start and >= 0
            && text.IndexOf(close, start, StringComparison.Ordinal) is int end and >= 0)
        {
            rest.Append(text, from, start - from);
            from = end + close.Length;
        }
        return rest.Append(text, from, text.Length - from).ToString();
    }

    private static TemplateValue UrlEncode(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        if (value.IsText || !Iteration.IsIterable(value))
            return state.Text(UrlQuote(PythonText.String(state, value), forQuery: false));
        TemplateValue pairs = value.AsDict is TemplateDict dict ? TemplateValue.From(new DictView(dict, DictViewPart.Items)) : value;
        List<string> parts = [];
        foreach (TemplateValue pair in Iteration.Of(state, pairs))
        {
            List<TemplateValue> two = Iteration.ToList(state, pair);
            if (two.Count != 2)
                throw new TemplateException("urlencode takes a string, a mapping or pairs");
            parts.Add(UrlQuote(PythonText.String(state, two[0]), true) + "=" + UrlQuote(PythonText.String(state, two[1]), true));
        }
        return state.Text(string.Join('&', parts));
    }

    private static string UrlQuote(string text, bool forQuery)
    {
        StringBuilder quoted = new(text.Length);
        foreach (byte b in Encoding.UTF8.GetBytes(text))
        {
            char c = (char)b;
            if (char.IsAsciiLetterOrDigit(c) || c is '_' or '.' or '-' or '~' || (c == '/' && !forQuery))
                quoted.Append(c);
            else if (c == ' ' && forQuery)
                quoted.Append('+');
            else
                quoted.Append(CultureInfo.InvariantCulture, $"%{b:X2}");
        }
        return quoted.ToString();
    }

    private static TemplateValue XmlAttributes(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        TemplateDict dict = value.AsDict ?? throw new TemplateException($"xmlattr takes a mapping, not '{value.TypeName}'");
        List<string> attributes = [];
        foreach ((TemplateValue key, TemplateValue item) in dict.Entries)
        {
            if (item.IsNone || item.IsUndefined)
                continue;
            string name = key.AsText ?? throw new TemplateException("xmlattr: attribute names are strings");
            if (name.Any(c => PythonStrings.IsSpace(c) || c is '/' or '>' or '='))
                throw new TemplateException($"Invalid character in attribute name: {PythonText.Repr(state, key)}");
            attributes.Add($"{PythonText.Escaped(state, key)}=\"{PythonText.Escaped(state, item)}\"");
        }
        string text = (attributes.Count > 0 && (args[0].IsMissing || args[0].IsTruthy) ? " " : "") + string.Join(' ', attributes);
        return state.AutoEscape ? state.Markup(text) : state.Text(text);
    }

    private static TemplateValue WordWrap(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        string text = value.AsText ?? throw new TemplateException($"wordwrap takes a string, not '{value.TypeName}'");
        long width = args[0].IsMissing ? 79 : Integer(args[0]);
        if (width <= 0)
            throw new TemplateException($"invalid width {width} (must be > 0)");
        bool breaksLong = args[1].IsMissing || args[1].IsTruthy;
        string between = args[2].IsMissing || args[2].IsNone ? "\n" : Text(state, args[2]);
        bool breaksHyphens = args[3].IsMissing || args[3].IsTruthy;
        state.ChargeText(text.Length * 16L);
        return state.Text(string.Join(between, PythonStrings.SplitLines(text, keepEnds: false)
            .Select(line => string.Join(between, TextWrap.Wrap(line, (int)Math.Min(width, int.MaxValue), breaksLong, breaksHyphens)))));
    }
}
