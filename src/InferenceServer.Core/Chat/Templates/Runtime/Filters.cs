// The filters of Jinja: those of values and sequences here, those of texts in the other part.

using System.Collections.Frozen;
using System.Globalization;
using System.Numerics;

namespace InferenceServer.Chat.Templates;

internal static partial class Filters
{
    private static readonly FrozenDictionary<string, Builtin> ByName =
        ((IEnumerable<Builtin>)[.. OfValues(), .. OfSequences(), .. OfTexts()]).ToFrozenDictionary(filter => filter.Name);

    public static Builtin? Find(string name) => ByName.GetValueOrDefault(name);

    private static IEnumerable<Builtin> OfValues() =>
    [
        new("abs", "", (state, value, _) => Absolute(value)),
        new("attr", "name", (state, value, args) => Attributes.GetAttributeOnly(state, value, Text(state, args[0]))),
        .. Named("default_value? boolean?", (_, value, args) =>
            value.IsUndefined || (args[1].IsTruthy && !value.IsTruthy) ? Or(args[0], TemplateValue.Empty) : value, "default", "d"),
        new("float", "default?", (_, value, args) => ToFloat(value) is double number ? TemplateValue.From(number) : Or(args[0], TemplateValue.From(0.0))),
        new("int", "default? base?", ToInteger),
        new("round", "precision? method?", Round),
        new("filesizeformat", "binary?", (state, value, args) => FileSize(state, value, args[0].IsTruthy)),
        new("tojson", "ensure_ascii? indent? separators? sort_keys?", PythonJson.Filter),
        new("items", "", (state, value, _) => Lazy(Items(state, value))),
        .. Named("", (state, value, _) => Length(state, value), "length", "count"),
        new("list", "", (state, value, _) => TemplateList.From(Iteration.ToList(state, value))),
    ];

    private static IEnumerable<Builtin> OfSequences() =>
    [
        new("first", "", (state, value, _) => First(Iteration.Of(state, value), "No first item, sequence was empty.")),
        new("last", "", (state, value, _) => First(Reversed(state, value), "No last item, sequence was empty.")),
        new("reverse", "", (state, value, _) => value.AsText is string text
            ? state.TextLike(value, string.Concat(PythonStrings.CodePoints(text).Reverse())) : Reverse(state, value)),
        new("random", "", (state, value, _) => Iteration.ToList(state, value) is { Count: > 0 } items
            ? items[Random.Shared.Next(items.Count)] : UndefinedReason.Because("No random item, sequence was empty.")),
        new("join", "d? attribute?", Join),
        new("sort", "reverse? case_sensitive? attribute?", Sort),
        new("dictsort", "case_sensitive? by? reverse?", DictSort),
        new("unique", "case_sensitive? attribute?", (state, value, args) => Lazy(Unique(state, value, args[0].IsTruthy, args[1]))),
        new("min", "case_sensitive? attribute?", (state, value, args) => Extreme(state, value, args, wantsGreatest: false)),
        new("max", "case_sensitive? attribute?", (state, value, args) => Extreme(state, value, args, wantsGreatest: true)),
        new("sum", "attribute? start?", Sum),
        new("batch", "linecount fill_with?", (state, value, args) => Lazy(Batch(state, value, Integer(args[0]), args[1]))),
        new("slice", "slices fill_with?", (state, value, args) => Lazy(Slice(state, value, Integer(args[0]), args[1]))),
        new("groupby", "attribute default? case_sensitive?", GroupBy),
        new("map", Map),
        new("select", (state, value, arguments) => Select(state, value, arguments, byAttribute: false, keeps: true)),
        new("reject", (state, value, arguments) => Select(state, value, arguments, byAttribute: false, keeps: false)),
        new("selectattr", (state, value, arguments) => Select(state, value, arguments, byAttribute: true, keeps: true)),
        new("rejectattr", (state, value, arguments) => Select(state, value, arguments, byAttribute: true, keeps: false)),
    ];

    private static IEnumerable<Builtin> Named(
        string parameters, Func<RenderState, TemplateValue, TemplateValue[], TemplateValue> body, params string[] names) =>
        names.Select(name => new Builtin(name, parameters, body));

    private static TemplateValue Or(TemplateValue value, TemplateValue absent) => value.IsMissing ? absent : value;

    private static TemplateValue Lazy(IEnumerable<TemplateValue> items, string typeName = "generator") =>
        TemplateValue.From(new IteratorObject(items, typeName));

    private static long Integer(TemplateValue value) => value.Kind is TemplateValueKind.Integer or TemplateValueKind.Boolean
        ? value.AsLong : throw new TemplateException($"'{value.TypeName}' object cannot be interpreted as an integer");

    private static TemplateValue Absolute(TemplateValue value) => value.Kind switch
    {
        TemplateValueKind.Float => TemplateValue.From(Math.Abs(value.AsDouble)),
        TemplateValueKind.Integer or TemplateValueKind.Boolean or TemplateValueKind.BigInteger => TemplateValue.From(BigInteger.Abs(value.AsBigInteger)),
        _ => throw (value.IsUndefined ? Operators.UndefinedUse(value) : new TemplateException($"bad operand type for abs(): '{value.TypeName}'")),
    };

    private static TemplateValue Length(RenderState state, TemplateValue value)
    {
        if (value.Reference is LoopObject loop)
            return loop.Length(state);
        state.ChargeText(value.AsText?.Length ?? 0);
        return Iteration.LengthOf(value) ?? throw new TemplateException($"object of type '{value.TypeName}' has no len()");
    }

    private static IEnumerable<TemplateValue> Items(RenderState state, TemplateValue value)
    {
        if (value.IsUndefined)
            yield break;
        if (value.AsDict is not TemplateDict dict)
            throw new TemplateException("Can only get item pairs from a mapping.");
        foreach (TemplateValue item in Iteration.Of(state, TemplateValue.From(new DictView(dict, DictViewPart.Items))))
            yield return item;
    }

    private static double? ToFloat(TemplateValue value)
    {
        if (value.IsUndefined)
            throw Operators.UndefinedUse(value);
        if (value.IsNumber)
            return value.ToDouble();
        return value.AsText is string text && PythonNumbers.TryParsePythonFloat(text, out double number) ? number : null;
    }

    private static TemplateValue ToInteger(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        if (value.IsUndefined)
            throw Operators.UndefinedUse(value);
        if (value.AsText is string text)
        {
            state.ChargeText(text.Length);
            if (PythonNumbers.TryParsePythonInteger(text, args[1].IsMissing ? 10 : (int)Math.Clamp(Integer(args[1]), -1, 37), out BigInteger integer))
                return TemplateValue.From(integer);
        }
        if (value.Kind is TemplateValueKind.Integer or TemplateValueKind.Boolean or TemplateValueKind.BigInteger)
            return TemplateValue.From(value.AsBigInteger);
        return ToFloat(value) is double number && double.IsFinite(number) ? TemplateValue.From(new BigInteger(number)) : Or(args[0], 0);
    }

    private static TemplateValue Round(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        int precision = args[0].IsMissing ? 0 : (int)Math.Clamp(Integer(args[0]), -1000, 1000);
        string method = args[1].IsMissing ? "common" : args[1].AsText ?? "";
        if (method is not ("common" or "ceil" or "floor"))
            throw new TemplateException("method must be common, ceil or floor");
        if (!value.IsNumber)
            throw (value.IsUndefined ? Operators.UndefinedUse(value) : new TemplateException($"type {value.TypeName} doesn't define __round__ method"));
        if (method != "common")
        {
            double scale = Math.Pow(10, precision);
            double scaled = value.ToDouble() * scale;
            return TemplateValue.From((method == "ceil" ? Math.Ceiling(scaled) : Math.Floor(scaled)) / scale);
        }
        if (value.Kind == TemplateValueKind.Float)
            return TemplateValue.From(PythonNumbers.Round(value.AsDouble, precision));
        if (precision >= 0)
            return TemplateValue.From(value.AsBigInteger);
        BigInteger unit = BigInteger.Pow(10, -precision);
        BigInteger quotient = BigInteger.DivRem(BigInteger.Abs(value.AsBigInteger), unit, out BigInteger rest);
        int half = (rest * 2).CompareTo(unit);
        if (half > 0 || (half == 0 && !quotient.IsEven))
            quotient++;
        return TemplateValue.From(quotient * unit * value.AsBigInteger.Sign);
    }

    private static TemplateValue FileSize(RenderState state, TemplateValue value, bool isBinary)
    {
        double bytes = ToFloat(value) ?? throw new TemplateException("filesizeformat takes a number");
        double unitBase = isBinary ? 1024 : 1000;
        if (bytes == 1)
            return "1 Byte";
        if (bytes < unitBase)
            return state.Text(string.Create(CultureInfo.InvariantCulture, $"{new BigInteger(bytes)} Bytes"));
        string prefixes = "kMGTPEZY";
        double unit = unitBase * unitBase;
        int i = 0;
        for (; i < prefixes.Length - 1 && bytes >= unit; i++)
            unit *= unitBase;
        string prefix = isBinary ? char.ToUpperInvariant(prefixes[i]) + "iB" : prefixes[i] + "B";
        return state.Text(PythonNumbers.Fixed(unitBase * bytes / unit, 1) + " " + prefix);
    }

    private static TemplateValue First(IEnumerable<TemplateValue> items, string whenEmpty)
    {
        foreach (TemplateValue item in items)
            return item;
        return UndefinedReason.Because(whenEmpty);
    }

    /// <summary>An iterator for what Python can walk backwards, a list for what has to be taken first.</summary>
    private static TemplateValue Reverse(RenderState state, TemplateValue value)
    {
        if (value.Reference is not IteratorObject)
            return Lazy(Reversed(state, value), "list_reverseiterator");
        List<TemplateValue> items = Iteration.ToList(state, value);
        items.Reverse();
        return TemplateList.From(items);
    }

    private static List<TemplateValue> Reversed(RenderState state, TemplateValue value)
    {
        if (value.Reference is IteratorObject)
            throw new TemplateException($"'{value.TypeName}' object is not reversible");
        List<TemplateValue> items = Iteration.ToList(state, value);
        items.Reverse();
        return items;
    }

    /// <summary>What attribute="a.b.0" means for each item; without an attribute the item itself.</summary>
    private static Func<TemplateValue, TemplateValue> Getter(
        RenderState state, TemplateValue attribute, TemplateValue absent = default, bool ignoresCase = false)
    {
        TemplateValue[] parts = attribute.AsText is string path
            ? [.. path.Split('.').Select(part => part.Length is > 0 and < 10 && part.All(char.IsAsciiDigit) ? int.Parse(part, CultureInfo.InvariantCulture) : (TemplateValue)part)]
            : attribute.IsMissing || attribute.IsNone ? [] : [attribute];
        return item =>
        {
            foreach (TemplateValue part in parts)
            {
                item = Attributes.GetItem(state, item, part);
                if (item.IsUndefined && !absent.IsMissing && !absent.IsNone)
                    item = absent;
            }
            return ignoresCase && item.AsText is string text ? PythonStrings.Lower(text) : item;
        };
    }

    private static TemplateValue Sort(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        List<TemplateValue> items = Iteration.ToList(state, value);
        bool ignoresCase = !args[1].IsTruthy;
        TemplateValue[] paths = args[2].AsText is string text ? [.. text.Split(',').Select(path => (TemplateValue)path)] : [args[2]];
        Func<TemplateValue, TemplateValue>[] getters = [.. paths.Select(path => Getter(state, path, ignoresCase: ignoresCase))];
        // The key is a sequence even of one: equal keys are then equal whether or not their type has an order.
        Sorting.Sort(state, items, item => TemplateList.Tuple([.. getters.Select(getter => getter(item))]), args[0].IsTruthy);
        return TemplateList.From(items);
    }

    private static TemplateValue DictSort(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        string by = args[1].IsMissing ? "key" : args[1].AsText ?? "";
        if (by is not ("key" or "value"))
            throw new TemplateException("You can only sort by either \"key\" or \"value\"");
        if (value.AsDict is not TemplateDict dict)
            throw (value.IsUndefined ? Operators.UndefinedUse(value) : new TemplateException($"dictsort takes a mapping, not '{value.TypeName}'"));
        List<TemplateValue> items = Iteration.ToList(state, TemplateValue.From(new DictView(dict, DictViewPart.Items)));
        Sorting.Sort(state, items, Getter(state, by == "key" ? 0 : 1, ignoresCase: !args[0].IsTruthy), args[2].IsTruthy);
        return TemplateList.From(items);
    }

    private static IEnumerable<TemplateValue> Unique(RenderState state, TemplateValue value, bool isCaseSensitive, TemplateValue attribute)
    {
        Func<TemplateValue, TemplateValue> getter = Getter(state, attribute, ignoresCase: !isCaseSensitive);
        HashSet<TemplateValue> seen = new(PythonEquality.KeyComparer);
        foreach (TemplateValue item in Iteration.Of(state, value))
            if (seen.Add(getter(item)))
                yield return item;
    }

    private static TemplateValue Extreme(RenderState state, TemplateValue value, TemplateValue[] args, bool wantsGreatest)
    {
        Func<TemplateValue, TemplateValue> getter = Getter(state, args[1], ignoresCase: !args[0].IsTruthy);
        TemplateValue best = default;
        TemplateValue bestKey = default;
        bool isFirst = true;
        foreach (TemplateValue item in Iteration.Of(state, value))
        {
            TemplateValue key = getter(item);
            if (isFirst || Operators.Compare(state, wantsGreatest ? Comparison.Greater : Comparison.Less, key, bestKey))
                (best, bestKey) = (item, key);
            isFirst = false;
        }
        return isFirst ? UndefinedReason.Because("No aggregated item, sequence was empty.") : best;
    }

    private static TemplateValue Sum(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        Func<TemplateValue, TemplateValue> getter = Getter(state, args[0]);
        TemplateValue sum = Or(args[1], 0);
        if (sum.IsText)
            throw new TemplateException("sum() can't sum strings [use ''.join(seq) instead]");
        foreach (TemplateValue item in Iteration.Of(state, value))
            sum = Operators.Add(state, sum, getter(item));
        return sum;
    }

    private static IEnumerable<TemplateValue> Batch(RenderState state, TemplateValue value, long size, TemplateValue fill)
    {
        List<TemplateValue> batch = [];
        foreach (TemplateValue item in Iteration.Of(state, value))
        {
            if (batch.Count == size)
            {
                yield return state.List(batch);
                batch = [];
            }
            batch.Add(item);
        }
        if (batch.Count == 0)
            yield break;
        if (!fill.IsMissing && !fill.IsNone && batch.Count < size)
        {
            state.Reserve(size);
            while (batch.Count < size)
                batch.Add(fill);
        }
        yield return state.List(batch);
    }

    private static IEnumerable<TemplateValue> Slice(RenderState state, TemplateValue value, long slices, TemplateValue fill)
    {
        List<TemplateValue> items = Iteration.ToList(state, value);
        if (slices == 0)
            throw new TemplateException("integer division or modulo by zero");
        long perSlice = items.Count / slices;
        long longer = items.Count % slices;
        int at = 0;
        for (long i = 0; i < slices; i++)
        {
            int count = (int)perSlice + (i < longer ? 1 : 0);
            List<TemplateValue> slice = items.GetRange(at, count);
            at += count;
            if (!fill.IsMissing && !fill.IsNone && i >= longer)
                slice.Add(fill);
            yield return state.List(slice);
        }
    }

    private static TemplateValue GroupBy(RenderState state, TemplateValue value, TemplateValue[] args)
    {
        Func<TemplateValue, TemplateValue> getter = Getter(state, args[0], args[1], ignoresCase: !args[2].IsTruthy);
        Func<TemplateValue, TemplateValue> shown = Getter(state, args[0], args[1]);
        List<TemplateValue> items = Iteration.ToList(state, value);
        Sorting.Sort(state, items, getter, isReversed: false);
        List<TemplateValue> groups = [];
        TemplateList? current = null;
        TemplateValue currentKey = default;
        foreach (TemplateValue item in items)
        {
            TemplateValue key = getter(item);
            if (current is null || !state.Equal(key, currentKey))
            {
                current = new TemplateList();
                currentKey = key;
                groups.Add(TemplateValue.From(new TemplateList([shown(item), current], isTuple: true) { ItemNames = ["grouper", "list"] }));
            }
            current.Add(item);
        }
        return state.List(groups);
    }

    private static TemplateValue Map(RenderState state, TemplateValue value, CallArguments arguments)
    {
        return Lazy(Mapped(state, value, arguments));
    }

    private static IEnumerable<TemplateValue> Mapped(RenderState state, TemplateValue value, CallArguments arguments)
    {
        if (!value.IsTruthy)
            yield break;
        Func<TemplateValue, TemplateValue> map;
        if (arguments.Positional.Length == 0 && arguments.TryGetNamed("attribute", out TemplateValue attribute))
        {
            arguments.TryGetNamed("default", out TemplateValue absent);
            map = Getter(state, attribute, absent);
        }
        else
        {
            if (arguments.Positional.Length == 0)
                throw new TemplateException("map requires a filter argument");
            string name = Text(state, arguments.Positional[0]);
            Builtin filter = Find(name) ?? throw new TemplateException($"no filter named '{name}'");
            CallArguments rest = arguments.Skip(1);
            map = item => filter.Invoke(state, item, rest);
        }
        foreach (TemplateValue item in Iteration.Of(state, value))
            yield return map(item);
    }

    private static TemplateValue Select(RenderState state, TemplateValue value, CallArguments arguments, bool byAttribute, bool keeps) =>
        Lazy(Selected(state, value, arguments, byAttribute, keeps));

    private static IEnumerable<TemplateValue> Selected(RenderState state, TemplateValue value, CallArguments arguments, bool byAttribute, bool keeps)
    {
        if (!value.IsTruthy)
            yield break;
        if (byAttribute && arguments.Positional.Length == 0)
            throw new TemplateException("Missing parameter for attribute name");
        Func<TemplateValue, TemplateValue> getter = Getter(state, byAttribute ? arguments.Positional[0] : default);
        int used = byAttribute ? 1 : 0;
        Builtin? test = null;
        if (arguments.Positional.Length > used)
        {
            string name = Text(state, arguments.Positional[used]);
            test = Tests.Find(name) ?? throw new TemplateException($"no test named '{name}'");
        }
        CallArguments rest = arguments.Skip(used + 1);
        foreach (TemplateValue item in Iteration.Of(state, value))
        {
            TemplateValue tested = getter(item);
            if ((test?.Invoke(state, tested, rest) ?? tested).IsTruthy == keeps)
                yield return item;
        }
    }
}
