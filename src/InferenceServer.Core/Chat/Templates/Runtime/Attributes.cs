// value.name, value[key] and value[a:b:c] as Jinja's sandbox does them: what is absent is undefined, what starts with an underscore is out of reach.

using System.Numerics;

namespace InferenceServer.Chat.Templates;

internal static class Attributes
{
    public static TemplateValue GetAttribute(RenderState state, TemplateValue target, string name)
    {
        if (target.IsUndefined)
            throw Operators.UndefinedUse(target);
        if (TryGetOwn(state, target, name, out TemplateValue value))
            return value;
        if (target.Reference is TemplateDict dict && dict.TryGet(name, out value))
            return value;
        return UndefinedReason.Attribute(target, name);
    }

    /// <summary>The attr filter: like value.name, but never a dict's key.</summary>
    public static TemplateValue GetAttributeOnly(RenderState state, TemplateValue target, string name)
    {
        if (target.IsUndefined)
            throw Operators.UndefinedUse(target);
        return TryGetOwn(state, target, name, out TemplateValue value) ? value : UndefinedReason.Attribute(target, name);
    }

    public static TemplateValue GetItem(RenderState state, TemplateValue target, TemplateValue key)
    {
        if (target.IsUndefined)
            throw Operators.UndefinedUse(target);
        if (target.Reference is TemplateDict dict)
        {
            if (key.AsText is string text)
            {
                state.ChargeText(text.Length);
                if (dict.TryGet(text, out TemplateValue found))
                    return found;
            }
            else if (key.Kind is not (TemplateValueKind.List or TemplateValueKind.Dict) && dict.TryGet(key, out TemplateValue found))
            {
                return found;
            }
        }
        else if (TryGetIndex(state, target, key, out TemplateValue item))
        {
            return item;
        }
        if (key.AsText is string name)
            return TryGetOwn(state, target, name, out TemplateValue value) ? value : UndefinedReason.Attribute(target, name);
        return UndefinedReason.Because($"{UndefinedReason.OwnerName(target)} has no element {PythonText.Repr(state, key)}");
    }

    /// <summary>What Python's getattr() finds: methods, and the attributes of our own objects.</summary>
    private static bool TryGetOwn(RenderState state, TemplateValue target, string name, out TemplateValue value)
    {
        value = default;
        Builtin? method = target.Reference switch
        {
            string or MarkupText => StringMethods.Find(name),
            TemplateDict => ContainerMethods.ForDict(name),
            TemplateList list => ContainerMethods.ForList(name, list.IsTuple),
            _ => null,
        };
        if (method is not null)
        {
            bool isRefused = method.Mutates && target.Reference is TemplateDict { IsFrozen: true } or TemplateList { IsFrozen: true, IsTuple: false };
            value = method.Mutates && isRefused ? Unsafe(target, name) : TemplateValue.From(new BoundMethod(method, target));
            return true;
        }
        bool found = target.Reference is TemplateObject owner && owner.TryGetAttribute(state, name, out value);
        if (!found && target.Kind is TemplateValueKind.Integer or TemplateValueKind.Boolean or TemplateValueKind.Float)
            found = NumberAttributes.TryGet(target, name, out value);
        if (name.StartsWith('_') && (found || IsPythonInternal(name)))
        {
            value = Unsafe(target, name);
            return true;
        }
        return found;
    }

    private static bool IsPythonInternal(string name) => name is "__class__" or "__dict__" or "__doc__" or "__init__" or "__new__" or "__repr__"
        or "__str__" or "__eq__" or "__hash__" or "__getattribute__" or "__reduce__" or "__subclasshook__" or "__dir__" or "__format__" or "__len__"
        or "__iter__" or "__getitem__" or "__contains__" or "__add__" or "__setattr__" or "__delattr__" or "__sizeof__";

    private static TemplateValue Unsafe(TemplateValue target, string name) =>
        UndefinedReason.Because($"access to attribute '{name}' of '{target.TypeName}' object is unsafe.");

    private static bool TryGetIndex(RenderState state, TemplateValue target, TemplateValue key, out TemplateValue item)
    {
        item = default;
        if (key.Kind is not (TemplateValueKind.Integer or TemplateValueKind.Boolean))
            return false;
        if (target.AsText is null && target.Reference is not (TemplateList or RangeObject))
            return false;
        long length = Iteration.LengthOf(target)!.Value;
        long index = key.AsLong < 0 ? key.AsLong + length : key.AsLong;
        if (index < 0 || index >= length)
            return false;
        if (target.AsText is string text)
        {
            state.ChargeText(text.Length);
            int at = PythonStrings.UnitIndex(text, (int)index);
            item = text.Substring(at, PythonStrings.UnitsAt(text, at));
            if (target.Kind == TemplateValueKind.Markup)
                item = state.Markup(item.AsText!);
        }
        else
        {
            item = target.AsList is TemplateList list ? list[(int)index] : ((RangeObject)target.Reference!)[index];
        }
        return true;
    }

    public static TemplateValue GetSlice(RenderState state, TemplateValue target, TemplateValue start, TemplateValue stop, TemplateValue step)
    {
        if (target.IsUndefined)
            throw Operators.UndefinedUse(target);
        if (!target.IsText && target.Reference is not (TemplateList or RangeObject))
            throw new TemplateException(target.AsDict is null ? $"'{target.TypeName}' object is not subscriptable" : "unhashable type: 'slice'");
        if (!IsBound(start) || !IsBound(stop) || !IsBound(step))
            throw new TemplateException("slice indices must be integers or None");
        long length = Iteration.LengthOf(target)!.Value;
        long stride = step.IsNone ? 1 : Clamp(step);
        if (stride == 0)
            throw new TemplateException("slice step cannot be zero");
        long first = Bound(start, length, stride, stride > 0 ? 0 : length - 1);
        long last = Bound(stop, length, stride, stride > 0 ? length : -1);
        RangeObject indexes = new(first, last, stride);
        if (target.AsText is string text)
            return state.TextLike(target, SliceText(text, indexes));
        if (target.Reference is RangeObject range)
            return TemplateValue.From(new RangeObject(range[first], range[last], range.Step * stride));
        state.Reserve(indexes.Count);
        List<TemplateValue> items = new((int)indexes.Count);
        for (long i = 0; i < indexes.Count; i++)
            items.Add(target.AsList![(int)indexes[i]]);
        return TemplateList.From(items, target.Kind == TemplateValueKind.Tuple);
    }

    private static bool IsBound(TemplateValue value) =>
        value.Kind is TemplateValueKind.None or TemplateValueKind.Integer or TemplateValueKind.Boolean or TemplateValueKind.BigInteger;

    private static long Clamp(TemplateValue value) =>
        (long)BigInteger.Clamp(value.AsBigInteger, -int.MaxValue, int.MaxValue);

    /// <summary>Where a slice starts or stops: from the end when negative, never outside of the sequence.</summary>
    private static long Bound(TemplateValue value, long length, long stride, long absent)
    {
        if (value.IsNone)
            return absent;
        long at = Clamp(value);
        if (at < 0)
            at += length;
        return stride > 0 ? Math.Clamp(at, 0, length) : Math.Clamp(at, -1, length - 1);
    }

    private static string SliceText(string text, RangeObject indexes)
    {
        if (indexes.Count == 0)
            return "";
        if (indexes.Step == 1)
        {
            int start = PythonStrings.UnitIndex(text, (int)indexes.Start);
            return text[start..PythonStrings.UnitIndex(text, (int)(indexes.Start + indexes.Count))];
        }
        string[] points = PythonStrings.CodePoints(text);
        string[] taken = new string[indexes.Count];
        for (int i = 0; i < taken.Length; i++)
            taken[i] = points[indexes[i]];
        return string.Concat(taken);
    }
}

/// <summary>The few attributes of numbers that a template could use.</summary>
internal static class NumberAttributes
{
    private static readonly Builtin BitLength = new("bit_length", "", (_, self, _) => (long)BigInteger.Abs(self.AsBigInteger).GetBitLength());

    private static readonly Builtin IsInteger = new("is_integer", "", (_, self, _) =>
        self.Kind != TemplateValueKind.Float || (double.IsFinite(self.AsDouble) && self.AsDouble == Math.Floor(self.AsDouble)));

    public static bool TryGet(TemplateValue number, string name, out TemplateValue value)
    {
        bool isFloat = number.Kind == TemplateValueKind.Float;
        value = name switch
        {
            "real" or "numerator" when !isFloat => number.AsLong,
            "real" => number,
            "imag" when isFloat => TemplateValue.From(0.0),
            "imag" => 0L,
            "denominator" when !isFloat => 1L,
            "bit_length" when !isFloat => TemplateValue.From(new BoundMethod(BitLength, number)),
            "is_integer" when isFloat => TemplateValue.From(new BoundMethod(IsInteger, number)),
            _ => default,
        };
        return !value.IsMissing;
    }
}
