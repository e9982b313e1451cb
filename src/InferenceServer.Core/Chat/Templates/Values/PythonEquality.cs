// Python's == and hash() over template values: numbers compare across types, strings ordinally, containers item by item.

using System.Runtime.CompilerServices;

namespace InferenceServer.Chat.Templates;

internal static class PythonEquality
{
    public static IEqualityComparer<TemplateValue> KeyComparer { get; } = new Comparer();

    // Keys are strings and numbers, sometimes small tuples; shared sub-tuples could make one comparison exponential, so it is bounded.
    private const int KeyWorkMax = 256;

    /// <summary>Equality of dict keys.</summary>
    public static bool KeysEqual(TemplateValue left, TemplateValue right)
    {
        long work = KeyWorkMax;
        return Equal(left, right, ref work);
    }

    /// <summary>Compares, taking what it costs from <paramref name="work"/>: one for each item.</summary>
    /// <exception cref="TemplateException">The work ran out.</exception>
    public static bool Equal(TemplateValue left, TemplateValue right, ref long work)
    {
        if (left.Reference is string a && right.Reference is string b)
            return a == b;
        if (--work < 0)
            throw new TemplateException("a comparison of nested values is too large");
        TemplateValueKind kind = left.Kind;
        if (left.IsNumber)
            return right.IsNumber && NumbersEqual(left, right);
        switch (kind)
        {
            case TemplateValueKind.Undefined:
                return right.IsUndefined;
            case TemplateValueKind.None:
                return right.IsNone;
            case TemplateValueKind.String or TemplateValueKind.Markup:
                return right.IsText && left.AsText == right.AsText;
            case TemplateValueKind.List or TemplateValueKind.Tuple:
                return right.Kind == kind && ListsEqual(left.AsList!, right.AsList!, ref work);
            case TemplateValueKind.Dict:
                return right.Kind == kind && DictsEqual(left.AsDict!, right.AsDict!, ref work);
            case TemplateValueKind.Range when right.Reference is RangeObject other:
                RangeObject range = (RangeObject)left.Reference!;
                return range.Count == other.Count
                    && (range.Count == 0 || (range.Start == other.Start && (range.Count == 1 || range.Step == other.Step)));
            default:
                return ReferenceEquals(left.Reference, right.Reference);
        }
    }

    /// <exception cref="TemplateException">The value cannot be a key: a list or dict.</exception>
    public static int Hash(TemplateValue value)
    {
        int work = KeyWorkMax;
        return Hash(value, ref work);
    }

    private static int Hash(TemplateValue value, ref int work)
    {
        if (--work < 0)
            throw new TemplateException("a dict key of nested tuples is too large");
        switch (value.Kind)
        {
            case TemplateValueKind.String or TemplateValueKind.Markup:
                return string.GetHashCode(value.AsText!, StringComparison.Ordinal);
            case TemplateValueKind.Boolean or TemplateValueKind.Integer:
                return value.AsLong.GetHashCode();
            case TemplateValueKind.Float:
                double number = value.AsDouble;
                // 2^63: below it a whole float must hash as the equal integer does.
                return number == Math.Floor(number) && Math.Abs(number) < 9.2233720368547758e18 ? ((long)number).GetHashCode() : number.GetHashCode();
            case TemplateValueKind.BigInteger:
                return ((double)value.AsBigInteger).GetHashCode();
            case TemplateValueKind.Tuple:
                RuntimeGuard.Stack();
                HashCode hash = default;
                foreach (TemplateValue item in value.AsList!.Items)
                    hash.Add(Hash(item, ref work));
                return hash.ToHashCode();
            case TemplateValueKind.List or TemplateValueKind.Dict or TemplateValueKind.Namespace:
                throw new TemplateException($"unhashable type: '{value.TypeName}'");
            case TemplateValueKind.Undefined:
                return 1;
            case TemplateValueKind.None:
                return 2;
            default:
                return RuntimeHelpers.GetHashCode(value.Reference!);
        }
    }

    private static bool NumbersEqual(TemplateValue left, TemplateValue right)
    {
        if (left.Kind == TemplateValueKind.Float || right.Kind == TemplateValueKind.Float)
            return PythonNumbers.Compare(left, right) == 0;
        if (left.Kind == TemplateValueKind.BigInteger || right.Kind == TemplateValueKind.BigInteger)
            return left.AsBigInteger == right.AsBigInteger;
        return left.AsLong == right.AsLong;
    }

    private static bool ListsEqual(TemplateList left, TemplateList right, ref long work)
    {
        if (ReferenceEquals(left, right))
            return true;
        if (left.Count != right.Count)
            return false;
        RuntimeGuard.Stack();
        for (int i = 0; i < left.Count; i++)
            if (!Equal(left[i], right[i], ref work))
                return false;
        return true;
    }

    private static bool DictsEqual(TemplateDict left, TemplateDict right, ref long work)
    {
        if (ReferenceEquals(left, right))
            return true;
        if (left.Count != right.Count)
            return false;
        RuntimeGuard.Stack();
        foreach (KeyValuePair<TemplateValue, TemplateValue> entry in left.Entries)
            if (!right.TryGet(entry.Key, out TemplateValue value) || !Equal(entry.Value, value, ref work))
                return false;
        return true;
    }

    private sealed class Comparer : IEqualityComparer<TemplateValue>
    {
        public bool Equals(TemplateValue x, TemplateValue y) => KeysEqual(x, y);

        public int GetHashCode(TemplateValue obj) => Hash(obj);
    }
}
