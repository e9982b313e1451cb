// The methods of Python's str.

using System.Collections.Frozen;
using System.Globalization;
using System.Text;

namespace InferenceServer.Chat.Templates;

internal static class StringMethods
{
    private static readonly FrozenDictionary<string, Builtin> Methods = All().ToFrozenDictionary(method => method.Name);

    public static Builtin? Find(string name) => Methods.GetValueOrDefault(name);

    private static IEnumerable<Builtin> All() =>
    [
        Mapped("upper", PythonStrings.Upper),
        Mapped("lower", PythonStrings.Lower),
        Mapped("casefold", text => PythonStrings.Lower(text.Replace("ß", "ss", StringComparison.Ordinal))),
        Mapped("capitalize", PythonStrings.Capitalize),
        Mapped("title", PythonStrings.Title),
        Mapped("swapcase", PythonStrings.SwapCase),
        Stripping("strip", atStart: true, atEnd: true),
        Stripping("lstrip", atStart: true, atEnd: false),
        Stripping("rstrip", atStart: false, atEnd: true),
        Tested("isalpha", rune => Rune.IsLetter(rune)),
        Tested("isdigit", rune => Rune.GetUnicodeCategory(rune) == UnicodeCategory.DecimalDigitNumber || (Rune.GetNumericValue(rune) is >= 0 and <= 9 && IsSuperscript(rune))),
        Tested("isdecimal", rune => Rune.GetUnicodeCategory(rune) == UnicodeCategory.DecimalDigitNumber),
        Tested("isnumeric", rune => Rune.IsNumber(rune) || Rune.GetNumericValue(rune) >= 0),
        Tested("isalnum", rune => Rune.IsLetterOrDigit(rune) || Rune.IsNumber(rune)),
        Tested("isspace", rune => rune.IsBmp && PythonStrings.IsSpace((char)rune.Value)),
        new("isprintable", "", (_, self, _) => Text(self).Length == 0 || PythonStrings.All(Text(self), PythonStrings.IsPrintable)),
        new("isascii", "", (_, self, _) => Ascii.IsValid(Text(self))),
        new("isidentifier", "", (_, self, _) => IsIdentifier(Text(self))),
        new("isupper", "", (_, self, _) => PythonStrings.IsUpper(Text(self))),
        new("islower", "", (_, self, _) => PythonStrings.IsLower(Text(self))),
        new("istitle", "", (_, self, _) => PythonStrings.IsTitle(Text(self))),
        Affix("startswith", (text, affix) => text.StartsWith(affix, StringComparison.Ordinal)),
        Affix("endswith", (text, affix) => text.EndsWith(affix, StringComparison.Ordinal)),
        new("removeprefix", "prefix", (state, self, args) => Text(self).StartsWith(Text(args[0]), StringComparison.Ordinal)
            ? state.TextLike(self, Text(self)[Text(args[0]).Length..]) : self),
        new("removesuffix", "suffix", (state, self, args) => Text(args[0]).Length > 0 && Text(self).EndsWith(Text(args[0]), StringComparison.Ordinal)
            ? state.TextLike(self, Text(self)[..^Text(args[0]).Length]) : self),
        new("split", "sep? maxsplit?", (state, self, args) => Split(state, self, args, fromEnd: false)),
        new("rsplit", "sep? maxsplit?", (state, self, args) => Split(state, self, args, fromEnd: true)),
        new("splitlines", "keepends?", (state, self, args) => Texts(state, self, PythonStrings.SplitLines(Text(self), args[0].IsTruthy))),
        new("partition", "sep", (state, self, args) => Partition(state, self, Text(args[0]), fromEnd: false)),
        new("rpartition", "sep", (state, self, args) => Partition(state, self, Text(args[0]), fromEnd: true)),
        new("join", "iterable", (state, self, args) => Join(state, self, args[0])),
        new("replace", "old new count?", (state, self, args) => Replace(state, self, Argument(self, args[0]), Argument(self, args[1]), Count(args[2], -1))),
        Search("find", (text, part) => text.IndexOf(part, StringComparison.Ordinal), throwsWhenAbsent: false),
        Search("rfind", LastIndexOf, throwsWhenAbsent: false),
        Search("index", (text, part) => text.IndexOf(part, StringComparison.Ordinal), throwsWhenAbsent: true),
        Search("rindex", LastIndexOf, throwsWhenAbsent: true),
        new("count", "sub start? end?", (state, self, args) => CountOf(state, Text(self), Text(args[0]), args[1], args[2])),
        Padded("ljust", (missing, fill, text) => text + Fill(fill, missing)),
        Padded("rjust", (missing, fill, text) => Fill(fill, missing) + text),
        Padded("center", Centered),
        new("zfill", "width", (state, self, args) => ZeroFill(state, self, args[0])),
        new("expandtabs", "tabsize?", (state, self, args) => state.TextLike(self, ExpandTabs(state, Text(self), Count(args[0], 8)))),
        new("format", (state, self, arguments) => PythonFormat.Braces(state, self, arguments)),
        new("format_map", "mapping", (state, self, args) => PythonFormat.Braces(state, self, new CallArguments([], Named(args[0])))),
    ];

    private static string Text(TemplateValue value) => value.AsText
        ?? throw (value.IsUndefined ? Operators.UndefinedUse(value) : new TemplateException($"a str is required, not '{value.TypeName}'"));

    /// <summary>An argument that becomes part of the result: escaped where that is markup.</summary>
    private static string Argument(TemplateValue self, TemplateValue value) =>
        self.Kind == TemplateValueKind.Markup && value.Kind != TemplateValueKind.Markup ? MarkupText.Escape(Text(value)) : Text(value);

    private static long Count(TemplateValue value, long absent) => value.Kind switch
    {
        TemplateValueKind.Integer or TemplateValueKind.Boolean => value.AsLong,
        TemplateValueKind.Undefined when value.IsMissing => absent,
        TemplateValueKind.None => absent,
        _ => throw new TemplateException($"'{value.TypeName}' object cannot be interpreted as an integer"),
    };

    private static TemplateValue Texts(RenderState state, TemplateValue self, List<string> texts)
    {
        state.ChargeText(Text(self).Length);
        return state.List(texts.ConvertAll(text => state.TextLike(self, text)));
    }

    private static Builtin Mapped(string name, Func<string, string> map) =>
        new(name, "", (state, self, _) => state.TextLike(self, map(Text(self))));

    private static Builtin Tested(string name, Func<Rune, bool> test) => new(name, "", (state, self, _) =>
    {
        state.ChargeText(Text(self).Length);
        return PythonStrings.All(Text(self), test);
    });

    private static bool IsSuperscript(Rune rune) => Rune.GetUnicodeCategory(rune) == UnicodeCategory.OtherNumber && Rune.GetNumericValue(rune) is double value && value == Math.Floor(value);

    private static bool IsIdentifier(string text) => text.Length > 0
        && !char.IsAsciiDigit(text[0]) && PythonStrings.All(text, rune => rune.Value == '_' || Rune.IsLetterOrDigit(rune));

    private static Builtin Stripping(string name, bool atStart, bool atEnd) => new(name, "chars?", (state, self, args) =>
    {
        string text = Text(self);
        string? chars = args[0].IsMissing || args[0].IsNone ? null : Text(args[0]);
        ReadOnlySpan<char> stripped = PythonStrings.Strip(text, chars, atStart, atEnd);
        return stripped.Length == text.Length ? self : state.TextLike(self, stripped.ToString());
    });

    private static Builtin Affix(string name, Func<string, string, bool> matches) => new(name, "prefix start? end?", (state, self, args) =>
    {
        string text = args[1].IsMissing && args[2].IsMissing ? Text(self) : Part(Text(self), args[1], args[2], out _);
        if (args[0].Kind != TemplateValueKind.Tuple)
            return args[0].AsText is string affix ? matches(text, affix)
                : throw (args[0].IsUndefined ? Operators.UndefinedUse(args[0])
                : new TemplateException($"{name} first arg must be str or a tuple of str, not {args[0].TypeName}"));
        return args[0].AsList!.Any(affix => matches(text, Text(affix)));
    });

    /// <summary>text[start:end], and the code point at which it starts.</summary>
    private static string Part(string text, TemplateValue start, TemplateValue end, out long first)
    {
        long length = PythonStrings.Length(text);
        long from = Count(start, 0);
        long to = Count(end, length);
        from = Math.Clamp(from < 0 ? from + length : from, 0, int.MaxValue);
        to = Math.Clamp(to < 0 ? to + length : to, 0, length);
        first = from;
        return from > to ? "\uffff" : text[PythonStrings.UnitIndex(text, (int)from)..PythonStrings.UnitIndex(text, (int)to)];
    }

    private static Builtin Search(string name, Func<string, string, int> find, bool throwsWhenAbsent) => new(name, "sub start? end?", (state, self, args) =>
    {
        string text = Text(self);
        state.ChargeText(text.Length);
        long first = 0;
        if (!args[1].IsMissing || !args[2].IsMissing)
            text = Part(text, args[1], args[2], out first);
        int at = find(text, Text(args[0]));
        if (at < 0 && throwsWhenAbsent)
            throw new TemplateException("substring not found");
        return at < 0 ? -1 : PythonStrings.CodePointIndex(text, at) + first;
    });

    private static int LastIndexOf(string text, string part) => part.Length == 0 ? text.Length : text.LastIndexOf(part, StringComparison.Ordinal);

    private static TemplateValue CountOf(RenderState state, string text, string part, TemplateValue start, TemplateValue end)
    {
        if (!start.IsMissing || !end.IsMissing)
            text = Part(text, start, end, out _);
        state.ChargeText(text.Length);
        return part.Length == 0 ? PythonStrings.Length(text) + 1 : text.AsSpan().Count(part);
    }

    private static TemplateValue Split(RenderState state, TemplateValue self, TemplateValue[] args, bool fromEnd)
    {
        string text = Text(self);
        long max = Count(args[1], -1);
        if (args[0].IsMissing || args[0].IsNone)
            return Texts(state, self, fromEnd ? PythonStrings.SplitSpaceFromEnd(text, max) : PythonStrings.SplitSpace(text, max));
        string separator = Text(args[0]);
        if (separator.Length == 0)
            throw new TemplateException("empty separator");
        if (!fromEnd || max < 0)
        {
            int limit = max < 0 || max >= int.MaxValue ? int.MaxValue : (int)max + 1;
            return Texts(state, self, [.. text.Split(separator, limit)]);
        }
        List<string> parts = [];
        while (parts.Count < max && text.LastIndexOf(separator, StringComparison.Ordinal) is int at and >= 0)
        {
            parts.Add(text[(at + separator.Length)..]);
            text = text[..at];
            state.ChargeText(text.Length);
        }
        parts.Add(text);
        parts.Reverse();
        return Texts(state, self, parts);
    }

    private static TemplateValue Partition(RenderState state, TemplateValue self, string separator, bool fromEnd)
    {
        string text = Text(self);
        if (separator.Length == 0)
            throw new TemplateException("empty separator");
        int at = fromEnd ? text.LastIndexOf(separator, StringComparison.Ordinal) : text.IndexOf(separator, StringComparison.Ordinal);
        string[] parts = at >= 0 ? [text[..at], separator, text[(at + separator.Length)..]] : fromEnd ? ["", "", text] : [text, "", ""];
        return TemplateList.Tuple([.. parts.Select(part => state.TextLike(self, part))]);
    }

    private static TemplateValue Join(RenderState state, TemplateValue self, TemplateValue items)
    {
        StringBuilder joined = new();
        int count = 0;
        foreach (TemplateValue item in Iteration.Of(state, items))
        {
            if (count > 0)
                joined.Append(Text(self));
            if (!item.IsText)
                throw new TemplateException($"sequence item {count}: expected str instance, {item.TypeName} found");
            joined.Append(Argument(self, item));
            count++;
            if (joined.Length > state.Limits.MaxValueLength)
                state.Reserve(joined.Length);
        }
        return state.TextLike(self, joined.ToString());
    }

    public static TemplateValue Replace(RenderState state, TemplateValue self, string old, string replacement, long count)
    {
        string text = Text(self);
        state.ChargeText(text.Length);
        if (count == 0)
            return self;
        if (old.Length == 0)
            return state.TextLike(self, Interleave(state, text, replacement, count));
        long occurrences = text.AsSpan().Count(old);
        if (count > 0)
            occurrences = Math.Min(occurrences, count);
        if (occurrences == 0)
            return self;
        state.Reserve(text.Length + (occurrences * (replacement.Length - (long)old.Length)));
        if (count < 0)
            return Like(self, text.Replace(old, replacement, StringComparison.Ordinal));
        StringBuilder replaced = new();
        int from = 0;
        for (; occurrences > 0; occurrences--)
        {
            int at = text.IndexOf(old, from, StringComparison.Ordinal);
            replaced.Append(text, from, at - from).Append(replacement);
            from = at + old.Length;
        }
        return Like(self, replaced.Append(text, from, text.Length - from).ToString());
    }

    private static TemplateValue Like(TemplateValue origin, string text) =>
        origin.Kind == TemplateValueKind.Markup ? TemplateValue.From(new MarkupText(text)) : TemplateValue.From(text);

    /// <summary>What Python's replace() of the empty string does: before each code point, and at the end.</summary>
    private static string Interleave(RenderState state, string text, string replacement, long count)
    {
        string[] points = PythonStrings.CodePoints(text);
        long times = count < 0 ? points.Length + 1 : Math.Min(count, points.Length + 1);
        state.Reserve(text.Length + (times * replacement.Length));
        StringBuilder result = new();
        for (int i = 0; i <= points.Length; i++)
            result.Append(i < times ? replacement : "").Append(i < points.Length ? points[i] : "");
        return result.ToString();
    }

    private static Builtin Padded(string name, Func<int, string, string, string> pad) => new(name, "width fillchar?", (state, self, args) =>
    {
        string text = Text(self);
        string fill = args[1].IsMissing ? " " : Text(args[1]);
        if (PythonStrings.Length(fill) != 1)
            throw new TemplateException("The fill character must be exactly one character long");
        long missing = Count(args[0], 0) - PythonStrings.Length(text);
        if (missing <= 0)
            return self;
        state.Reserve(missing);
        return state.TextLike(self, pad((int)missing, fill, text));
    });

    private static string Fill(string fill, int count) => string.Concat(Enumerable.Repeat(fill, count));

    /// <summary>As Python: of an odd rest the left side gets more when the width is odd.</summary>
    private static string Centered(int missing, string fill, string text)
    {
        int left = (missing / 2) + (missing & (missing + PythonStrings.Length(text)) & 1);
        return Fill(fill, left) + text + Fill(fill, missing - left);
    }

    /// <summary>The center filter and method.</summary>
    public static TemplateValue Center(RenderState state, TemplateValue self, long width)
    {
        long missing = width - PythonStrings.Length(Text(self));
        if (missing <= 0)
            return self;
        state.Reserve(missing);
        return state.TextLike(self, Centered((int)missing, " ", Text(self)));
    }

    private static TemplateValue ZeroFill(RenderState state, TemplateValue self, TemplateValue width)
    {
        string text = Text(self);
        long missing = Count(width, 0) - PythonStrings.Length(text);
        if (missing <= 0)
            return self;
        state.Reserve(missing);
        int sign = text.Length > 0 && text[0] is '+' or '-' ? 1 : 0;
        return state.TextLike(self, text[..sign] + new string('0', (int)missing) + text[sign..]);
    }

    private static string ExpandTabs(RenderState state, string text, long size)
    {
        StringBuilder expanded = new();
        long column = 0;
        foreach (char c in text)
        {
            if (c == '\t')
            {
                long spaces = size <= 0 ? 0 : size - (column % size);
                state.Reserve(spaces);
                expanded.Append(' ', (int)spaces);
                column += spaces;
                continue;
            }
            expanded.Append(c);
            column = c is '\n' or '\r' ? 0 : column + 1;
        }
        return expanded.ToString();
    }

    private static KeyValuePair<string, TemplateValue>[] Named(TemplateValue mapping)
    {
        if (mapping.AsDict is not TemplateDict dict)
            throw new TemplateException("format_map() argument must be a mapping");
        return [.. dict.Entries.Where(entry => entry.Key.IsText).Select(entry => KeyValuePair.Create(entry.Key.AsText!, entry.Value))];
    }
}
