// Python's two formatting languages: "%05.2f" % values, and "{:>8}".format(values).

using System.Globalization;
using System.Numerics;
using System.Text;

namespace InferenceServer.Chat.Templates;

internal static class PythonFormat
{
    private const int MaxWidth = 1 << 16;

    /// <summary>format % values</summary>
    public static TemplateValue Percent(RenderState state, TemplateValue format, TemplateValue values)
    {
        string text = format.AsText!;
        bool isMarkup = format.Kind == TemplateValueKind.Markup;
        TemplateList items = values.Kind == TemplateValueKind.Tuple ? values.AsList! : new TemplateList([values]);
        StringBuilder output = new();
        int used = 0;
        TemplateValue Next() => used < items.Count ? items[used++] : throw new TemplateException("not enough arguments for format string");
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] != '%')
            {
                output.Append(text[i]);
                continue;
            }
            PercentSpec spec = new(text, ref i, Next, values);
            if (spec.Type == '%')
                output.Append('%');
            else
                output.Append(spec.Format(state, spec.Value ?? Next(), isMarkup));
            state.Charge();
            CheckLength(state, output);
        }
        if (used < items.Count && values.Reference is not (TemplateDict or TemplateList { IsTuple: false } or RangeObject or UndefinedReason))
            throw new TemplateException("not all arguments converted during string formatting");
        return state.TextLike(format, output.ToString());
    }

    private static void CheckLength(RenderState state, StringBuilder output)
    {
        if (output.Length > state.Limits.MaxValueLength)
            state.Reserve(output.Length);
    }

    /// <summary>One %-directive, read from its format string.</summary>
    private readonly struct PercentSpec
    {
        private readonly bool _left;
        private readonly bool _zero;
        private readonly bool _plus;
        private readonly bool _space;
        private readonly bool _alternate;
        private readonly int _width;
        private readonly int? _precision;

        public PercentSpec(string text, ref int at, Func<TemplateValue> next, TemplateValue values)
        {
            at++;
            if (at < text.Length && text[at] == '(')
            {
                int close = text.IndexOf(')', at);
                if (close < 0)
                    throw new TemplateException("incomplete format key");
                string key = text[(at + 1)..close];
                if (values.AsDict is not TemplateDict dict)
                    throw new TemplateException("format requires a mapping");
                Value = dict.TryGet(key, out TemplateValue found) ? found : throw new TemplateException($"the format names '{key}', which is absent");
                at = close + 1;
            }
            for (; at < text.Length && "-0+ #".Contains(text[at], StringComparison.Ordinal); at++)
            {
                _left |= text[at] == '-';
                _zero |= text[at] == '0';
                _plus |= text[at] == '+';
                _space |= text[at] == ' ';
                _alternate |= text[at] == '#';
            }
            _width = ReadCount(text, ref at, next) ?? 0;
            if (_width < 0)
                (_left, _width) = (true, -_width);
            if (at < text.Length && text[at] == '.')
            {
                at++;
                _precision = Math.Max(0, ReadCount(text, ref at, next) ?? 0);
            }
            while (at < text.Length && text[at] is 'h' or 'l' or 'L')
                at++;
            Type = at < text.Length ? text[at] : throw new TemplateException("incomplete format");
        }

        public char Type { get; }

        /// <summary>The value where the directive names it; else the next one is meant.</summary>
        public TemplateValue? Value { get; }

        private static int? ReadCount(string text, ref int at, Func<TemplateValue> next)
        {
            if (at < text.Length && text[at] == '*')
            {
                at++;
                TemplateValue value = next();
                return value.Kind == TemplateValueKind.Integer && Math.Abs(value.AsLong) <= MaxWidth ? (int)value.AsLong
                    : throw new TemplateException("* wants a small int");
            }
            return PythonFormat.ReadCount(text, ref at);
        }

        public string Format(RenderState state, TemplateValue value, bool isMarkup)
        {
            NumberSpec spec = new() { Alternate = _alternate, Sign = _plus ? '+' : _space ? ' ' : '-', Precision = _precision };
            string body;
            switch (Type)
            {
                case 's' or 'r' or 'a':
                    body = Type == 's' ? (isMarkup ? PythonText.Escaped(state, value) : PythonText.String(state, value)) : PythonText.Repr(state, value);
                    if (_precision is int limit && limit < PythonStrings.Length(body))
                        body = body[..PythonStrings.UnitIndex(body, limit)];
                    return Pad(body, _width, _left ? '<' : '>', " ");
                case 'c':
                    body = value.AsText ?? Character(value);
                    return Pad(body, _width, _left ? '<' : '>', " ");
                case 'd' or 'i' or 'u' or 'x' or 'X' or 'o':
                    if (!value.IsNumber)
                        throw new TemplateException($"%{Type} format: a real number is required, not {value.TypeName}");
                    if (value.Kind == TemplateValueKind.Float && Type is 'x' or 'X' or 'o')
                        throw new TemplateException($"%{Type} format: an integer is required, not float");
                    BigInteger integer = value.Kind == TemplateValueKind.Float ? Truncated(value.AsDouble) : value.AsBigInteger;
                    body = Integer(integer, Type is 'i' or 'u' ? 'd' : Type, spec);
                    break;
                case 'e' or 'E' or 'f' or 'F' or 'g' or 'G':
                    if (!value.IsNumber)
                        throw new TemplateException($"must be real number, not {value.TypeName}");
                    body = Float(value.ToDouble(), Type, spec with { Precision = _precision ?? 6 });
                    break;
                default:
                    throw new TemplateException($"unsupported format character '{Type}'");
            }
            return Pad(body, _width, _left ? '<' : _zero ? '=' : '>', _zero && !_left ? "0" : " ");
        }
    }

    private static string Character(TemplateValue value) =>
        value.Kind == TemplateValueKind.Integer && Rune.IsValid((int)Math.Clamp(value.AsLong, -1, int.MaxValue))
            ? new Rune((int)value.AsLong).ToString() : throw new TemplateException("the format c requires a character code");

    private static BigInteger Truncated(double number) =>
        double.IsFinite(number) ? new BigInteger(number) : throw new TemplateException("cannot convert float infinity or NaN to integer");

    private static int? ReadCount(string text, ref int at)
    {
        int start = at;
        while (at < text.Length && char.IsAsciiDigit(text[at]))
            at++;
        if (at == start)
            return null;
        return int.TryParse(text.AsSpan(start, at - start), NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count <= MaxWidth
            ? count : throw new TemplateException($"a width or precision is over the limit of {MaxWidth}");
    }

    private readonly record struct NumberSpec
    {
        public char Sign { get; init; }

        public bool Alternate { get; init; }

        public int? Precision { get; init; }

        public char Grouping { get; init; }
    }

    private static string Integer(BigInteger value, char type, NumberSpec spec)
    {
        BigInteger magnitude = BigInteger.Abs(value);
        string digits = type switch
        {
            'x' or 'X' => magnitude.ToString("x", CultureInfo.InvariantCulture).TrimStart('0'),
            'o' => InBase(magnitude, 3),
            'b' => InBase(magnitude, 1),
            _ => magnitude.ToString(CultureInfo.InvariantCulture),
        };
        if (digits.Length == 0)
            digits = "0";
        if (type == 'X')
            digits = digits.ToUpperInvariant();
        if (spec.Precision is int precision)
            digits = digits.PadLeft(precision, '0');
        digits = Group(digits, spec.Grouping, type is 'd' or 'n' ? 3 : 4);
        string prefix = spec.Alternate && type is 'x' or 'X' or 'o' or 'b' ? "0" + type : "";
        return SignOf(value.Sign < 0, spec.Sign) + prefix + digits;
    }

    private static string InBase(BigInteger value, int bits)
    {
        StringBuilder digits = new();
        for (; !value.IsZero; value >>= bits)
            digits.Insert(0, (char)('0' + (int)(value & ((1 << bits) - 1))));
        return digits.ToString();
    }

    private static string SignOf(bool isNegative, char sign) => isNegative ? "-" : sign == '-' ? "" : sign.ToString();

    private static string Group(string digits, char separator, int size)
    {
        if (separator == '\0')
            return digits;
        StringBuilder grouped = new(digits);
        for (int i = digits.Length - size; i > 0; i -= size)
            grouped.Insert(i, separator);
        return grouped.ToString();
    }

    private static string Float(double value, char type, NumberSpec spec)
    {
        string sign = SignOf(double.IsNegative(value) && !double.IsNaN(value), spec.Sign);
        if (!double.IsFinite(value))
            return sign + (char.IsUpper(type) ? double.IsNaN(value) ? "NAN" : "INF" : double.IsNaN(value) ? "nan" : "inf");
        int precision = spec.Precision ?? 6;
        string body = char.ToLowerInvariant(type) switch
        {
            'e' => PythonNumbers.Exponential(value, precision),
            'g' => PythonNumbers.General(value, precision, spec.Alternate),
            '%' => PythonNumbers.Fixed(value * 100, precision) + "%",
            _ => PythonNumbers.Fixed(value, precision),
        };
        if (spec.Grouping != '\0')
        {
            int whole = body.AsSpan().IndexOfAny(".e%");
            whole = whole < 0 ? body.Length : whole;
            body = Group(body[..whole], spec.Grouping, 3) + body[whole..];
        }
        return sign + (char.IsUpper(type) ? body.ToUpperInvariant() : body);
    }

    private static string Pad(string text, int width, char align, string fill)
    {
        int missing = width - PythonStrings.Length(text);
        if (missing <= 0)
            return text;
        string Fill(int count) => string.Concat(Enumerable.Repeat(fill, count));
        switch (align)
        {
            case '<':
                return text + Fill(missing);
            case '^':
                return Fill(missing / 2) + text + Fill(missing - (missing / 2));
            case '=':
                int sign = text.Length > 0 && text[0] is '-' or '+' or ' ' ? 1 : 0;
                if (text.Length > sign + 1 && text[sign] == '0' && text[sign + 1] is 'x' or 'X' or 'o' or 'b')
                    sign += 2;
                return text[..sign] + Fill(missing) + text[sign..];
            default:
                return Fill(missing) + text;
        }
    }

    /// <summary>"…{}…".format(arguments)</summary>
    public static TemplateValue Braces(RenderState state, TemplateValue format, CallArguments arguments)
    {
        StringBuilder output = new();
        int automatic = 0;
        AppendBraces(state, output, format.AsText!, arguments, format.Kind == TemplateValueKind.Markup, ref automatic, 2);
        return state.TextLike(format, output.ToString());
    }

    private static void AppendBraces(
        RenderState state, StringBuilder output, string text, CallArguments arguments, bool isMarkup, ref int automatic, int depth)
    {
        if (depth == 0)
            throw new TemplateException("max string recursion exceeded in a format");
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c is not ('{' or '}'))
            {
                output.Append(c);
                continue;
            }
            if (i + 1 < text.Length && text[i + 1] == c)
            {
                output.Append(c);
                i++;
                continue;
            }
            if (c == '}')
                throw new TemplateException("single '}' encountered in format string");
            int end = FieldEnd(text, i);
            AppendField(state, output, text[(i + 1)..end], arguments, isMarkup, ref automatic, depth);
            CheckLength(state, output);
            i = end;
        }
    }

    private static int FieldEnd(string text, int open)
    {
        int depth = 0;
        for (int i = open; i < text.Length; i++)
        {
            depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
            if (depth == 0)
                return i;
        }
        throw new TemplateException("expected '}' before end of string");
    }

    private static void AppendField(
        RenderState state, StringBuilder output, string field, CallArguments arguments, bool isMarkup, ref int automatic, int depth)
    {
        int colon = -1;
        for (int i = 0, brackets = 0; i < field.Length && colon < 0; i++)
        {
            brackets += field[i] == '[' ? 1 : field[i] == ']' ? -1 : 0;
            if (field[i] == ':' && brackets <= 0)
                colon = i;
        }
        string name = colon < 0 ? field : field[..colon];
        string spec = colon < 0 ? "" : field[(colon + 1)..];
        char conversion = '\0';
        int mark = name.IndexOf('!', StringComparison.Ordinal);
        if (mark >= 0)
        {
            conversion = mark + 2 == name.Length && name[^1] is 's' or 'r' or 'a' ? name[^1] : throw new TemplateException("unknown conversion in format");
            name = name[..mark];
        }
        TemplateValue value = FieldValue(state, name, arguments, ref automatic);
        if (spec.Contains('{', StringComparison.Ordinal))
        {
            StringBuilder inner = new();
            AppendBraces(state, inner, spec, arguments, isMarkup, ref automatic, depth - 1);
            spec = inner.ToString();
        }
        if (conversion != '\0')
            value = conversion == 's' ? PythonText.String(state, value) : PythonText.Repr(state, value);
        state.Charge();
        output.Append(isMarkup && spec.Length == 0 ? PythonText.Escaped(state, value) : Format(state, value, spec));
    }

    private static TemplateValue FieldValue(RenderState state, string name, CallArguments arguments, ref int automatic)
    {
        int at = name.AsSpan().IndexOfAny('.', '[');
        string first = at < 0 ? name : name[..at];
        TemplateValue value;
        if (first.Length == 0 || first.All(char.IsAsciiDigit))
        {
            int index = first.Length == 0 ? automatic++ : int.TryParse(first, CultureInfo.InvariantCulture, out int given) ? given : int.MaxValue;
            if (index >= arguments.Positional.Length)
                throw new TemplateException($"Replacement index {index} out of range for positional args tuple");
            value = arguments.Positional[index];
        }
        else if (!arguments.TryGetNamed(first, out value))
        {
            throw new TemplateException($"the format names '{first}', which was not given");
        }
        while (at >= 0 && at < name.Length)
        {
            bool isItem = name[at] == '[';
            int end = isItem ? name.IndexOf(']', at) : name.AsSpan(at + 1).IndexOfAny('.', '[') is int next and >= 0 ? at + 1 + next : name.Length;
            if (end < 0)
                throw new TemplateException("missing ']' in format string");
            string key = name[(at + 1)..end];
            value = !isItem ? Attributes.GetAttribute(state, value, key)
                : Attributes.GetItem(state, value, long.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out long index) ? index : key);
            at = isItem ? end + 1 : end;
        }
        return value;
    }

    /// <summary>Python's format(value, spec).</summary>
    private static string Format(RenderState state, TemplateValue value, string spec)
    {
        if (spec.Length == 0)
            return PythonText.String(state, value);
        FormatSpec parsed = FormatSpec.Parse(spec);
        NumberSpec number = new() { Alternate = parsed.Alternate, Sign = parsed.Sign, Precision = parsed.Precision, Grouping = parsed.Grouping };
        char type = parsed.Type;
        if (value.IsText)
        {
            string text = PythonText.String(state, value);
            if (type is not ('\0' or 's'))
                throw new TemplateException($"Unknown format code '{type}' for object of type 'str'");
            if (parsed.Precision is int limit && limit < PythonStrings.Length(text))
                text = text[..PythonStrings.UnitIndex(text, limit)];
            return Pad(text, parsed.Width, parsed.Align == '\0' ? '<' : parsed.Align, parsed.Fill);
        }
        if (!value.IsNumber)
            throw new TemplateException($"unsupported format string passed to {value.TypeName}.__format__");
        string body;
        bool isFloat = value.Kind == TemplateValueKind.Float;
        if (isFloat && type is '\0' && parsed.Precision is null)
            body = (value.AsDouble < 0 ? "" : SignOf(false, parsed.Sign)) + GroupedRepr(value.AsDouble, parsed.Grouping);
        else if (isFloat || type is 'e' or 'E' or 'f' or 'F' or 'g' or 'G' or '%')
            body = type is '\0' or 'e' or 'E' or 'f' or 'F' or 'g' or 'G' or '%' or 'n' ? Float(value.ToDouble(), type is '\0' or 'n' ? 'g' : type, number)
                : throw new TemplateException($"Unknown format code '{type}' for object of type 'float'");
        else if (type == 'c')
            body = Character(value);
        else if (type is '\0' or 'd' or 'n' or 'x' or 'X' or 'o' or 'b' && parsed.Precision is null)
            body = Integer(value.AsBigInteger, type == '\0' ? 'd' : type, number);
        else
            throw new TemplateException($"Unknown format code '{type}' for object of type 'int'");
        return Pad(body, parsed.Width, parsed.Align == '\0' ? '>' : parsed.Align, parsed.Fill);
    }

    private static string GroupedRepr(double value, char grouping)
    {
        string text = PythonNumbers.Repr(value);
        int whole = text.AsSpan().IndexOfAny(".e");
        if (grouping == '\0' || whole < 0)
            return text;
        int sign = text[0] == '-' ? 1 : 0;
        return text[..sign] + Group(text[sign..whole], grouping, 3) + text[whole..];
    }

    /// <summary>[[fill]align][sign][#][0][width][grouping][.precision][type]</summary>
    private readonly record struct FormatSpec(
        string Fill, char Align, char Sign, bool Alternate, int Width, char Grouping, int? Precision, char Type)
    {
        public static FormatSpec Parse(string text)
        {
            int at = 0;
            string fill = " ";
            char align = '\0';
            int fillLength = PythonStrings.UnitsAt(text, 0);
            if (text.Length > fillLength && text[fillLength] is '<' or '>' or '^' or '=')
                (fill, align, at) = (text[..fillLength], text[fillLength], fillLength + 1);
            else if (text[0] is '<' or '>' or '^' or '=')
                (align, at) = (text[0], 1);
            char sign = at < text.Length && text[at] is '+' or '-' or ' ' ? text[at++] : '-';
            bool alternate = at < text.Length && text[at] == '#';
            at += alternate ? 1 : 0;
            if (at < text.Length && text[at] == '0')
            {
                at++;
                if (align == '\0')
                    (fill, align) = ("0", '=');
            }
            int width = ReadCount(text, ref at) ?? 0;
            char grouping = at < text.Length && text[at] is ',' or '_' ? text[at++] : '\0';
            int? precision = null;
            if (at < text.Length && text[at] == '.')
            {
                at++;
                precision = ReadCount(text, ref at) ?? throw new TemplateException("format specifier missing precision");
            }
            char type = at < text.Length ? text[at++] : '\0';
            if (at < text.Length)
                throw new TemplateException($"invalid format specifier '{text}'");
            return new FormatSpec(fill, align, sign, alternate, width, grouping, precision, type);
        }
    }
}
