// Python's operators over template values, with the sizes of what they build checked first.

using System.Numerics;

namespace InferenceServer.Chat.Templates;

internal static class Operators
{
    public static TemplateException UndefinedUse(TemplateValue value) =>
        new(value.Reference is UndefinedReason reason ? reason.Message : "the value is undefined");

    public static TemplateValue Call(RenderState state, TemplateValue callee, CallArguments arguments)
    {
        if (callee.Reference is CallableObject callable)
            return callable.Call(state, arguments);
        if (callee.IsUndefined)
            throw UndefinedUse(callee);
        throw new TemplateException($"'{callee.TypeName}' object is not callable");
    }

    public static TemplateValue Add(RenderState state, TemplateValue left, TemplateValue right)
    {
        if (left.Reference is string a && right.Reference is string b)
        {
            state.Reserve((long)a.Length + b.Length);
            return a + b;
        }
        if (left.IsNumber && right.IsNumber)
            return AddNumbers(state, left, right);
        if (left.IsText && right.IsText)
            return state.Markup(PythonText.Escaped(state, left) + PythonText.Escaped(state, right));
        if (left.AsList is TemplateList first && right.AsList is TemplateList second && first.IsTuple == second.IsTuple)
        {
            state.Reserve((long)first.Count + second.Count);
            return TemplateList.From([.. first.Items, .. second.Items], first.IsTuple);
        }
        throw Unsupported("+", left, right);
    }

    private static TemplateValue AddNumbers(RenderState state, TemplateValue left, TemplateValue right)
    {
        if (left.Kind == TemplateValueKind.Float || right.Kind == TemplateValueKind.Float)
            return TemplateValue.From(left.ToDouble() + right.ToDouble());
        if (left.Kind != TemplateValueKind.BigInteger && right.Kind != TemplateValueKind.BigInteger)
        {
            long sum = unchecked(left.AsLong + right.AsLong);
            if (((left.AsLong ^ sum) & (right.AsLong ^ sum)) >= 0)
                return sum;
        }
        return Integer(state, left.AsBigInteger + right.AsBigInteger);
    }

    private static TemplateValue Integer(RenderState state, BigInteger value)
    {
        long bits = value.GetBitLength();
        state.ChargeText(bits);
        if (bits > state.Limits.MaxIntegerBits)
            throw new TemplateException($"an integer is over the limit of {state.Limits.MaxIntegerBits} bits");
        return TemplateValue.From(value);
    }

    private static TemplateException Unsupported(string op, TemplateValue left, TemplateValue right)
    {
        if (left.IsUndefined || right.IsUndefined)
            return UndefinedUse(left.IsUndefined ? left : right);
        if (op == "+" && left.IsText)
            return new TemplateException($"can only concatenate str (not \"{right.TypeName}\") to str");
        string name = op == "**" ? "** or pow()" : op;
        return new TemplateException($"unsupported operand type(s) for {name}: '{left.TypeName}' and '{right.TypeName}'");
    }

    public static TemplateValue Arithmetic(RenderState state, string op, TemplateValue left, TemplateValue right)
    {
        if (op == "%" && left.IsText)
            return PythonFormat.Percent(state, left, right);
        if (op == "*" && !(left.IsNumber && right.IsNumber))
            return Repeat(state, left, right);
        if (!left.IsNumber || !right.IsNumber)
            throw Unsupported(op, left, right);
        bool isFloat = left.Kind == TemplateValueKind.Float || right.Kind == TemplateValueKind.Float;
        if (op == "**")
            return Power(state, left, right, isFloat);
        if (op is "/" or "//" or "%" && !right.IsTruthy)
            throw new TemplateException(op == "/" ? "division by zero" : "integer division or modulo by zero");
        if (op == "/")
            return Divide(left, right, isFloat);
        if (isFloat)
            return TemplateValue.From(FloatArithmetic(op, left.ToDouble(), right.ToDouble()));
        BigInteger a = left.AsBigInteger;
        BigInteger b = right.AsBigInteger;
        return op switch
        {
            "-" => Integer(state, a - b),
            "*" => Integer(state, a * b),
            "//" => Integer(state, (a - FloorModulo(a, b)) / b),
            _ => Integer(state, FloorModulo(a, b)),
        };
    }

    private static BigInteger FloorModulo(BigInteger a, BigInteger b)
    {
        BigInteger rest = BigInteger.Remainder(a, b);
        return !rest.IsZero && (rest.Sign < 0) != (b.Sign < 0) ? rest + b : rest;
    }

    private static double FloatArithmetic(string op, double a, double b)
    {
        switch (op)
        {
            case "-":
                return a - b;
            case "*":
                return a * b;
        }
        double rest = a % b;
        if (rest != 0 && (rest < 0) != (b < 0))
            rest += b;
        else if (rest == 0)
            rest = Math.CopySign(0, b);
        if (op == "%")
            return rest;
        double quotient = (a - rest) / b;
        double floor = Math.Floor(quotient);
        return quotient - floor > 0.5 ? floor + 1 : quotient == 0 ? Math.CopySign(0, a / b) : floor;
    }

    private static TemplateValue Divide(TemplateValue left, TemplateValue right, bool isFloat)
    {
        if (isFloat || (left.Kind != TemplateValueKind.BigInteger && right.Kind != TemplateValueKind.BigInteger
            && Math.Abs(left.ToDouble()) < 9e15 && Math.Abs(right.ToDouble()) < 9e15))
            return TemplateValue.From(left.ToDouble() / right.ToDouble());
        BigInteger a = left.AsBigInteger;
        BigInteger b = right.AsBigInteger;
        // Both may be past a double's range though their quotient is not: drop common low bits, keeping far more than a double holds.
        int shift = (int)Math.Max(0, Math.Min(BigInteger.Abs(a).GetBitLength(), BigInteger.Abs(b).GetBitLength()) - 200);
        double quotient = (double)(a >> shift) / (double)(b >> shift);
        return double.IsInfinity(quotient) ? throw new TemplateException("integer division result too large for a float") : TemplateValue.From(quotient);
    }

    private static TemplateValue Power(RenderState state, TemplateValue left, TemplateValue right, bool isFloat)
    {
        if (!isFloat && right.AsBigInteger.Sign >= 0)
        {
            BigInteger number = left.AsBigInteger;
            BigInteger exponent = right.AsBigInteger;
            if (BigInteger.Abs(number) > 1 && exponent * (BigInteger.Abs(number).GetBitLength() - 1) > state.Limits.MaxIntegerBits)
                throw new TemplateException($"an integer is over the limit of {state.Limits.MaxIntegerBits} bits");
            if (BigInteger.Abs(number) <= 1)
                return TemplateValue.From(number.IsOne || exponent.IsZero ? 1 : number.IsZero ? 0 : exponent.IsEven ? 1 : -1);
            return Integer(state, BigInteger.Pow(number, (int)exponent));
        }
        double a = left.ToDouble();
        double b = right.ToDouble();
        if (a == 0 && b < 0)
            throw new TemplateException("0.0 cannot be raised to a negative power");
        if (a < 0 && b != Math.Floor(b) && double.IsFinite(b))
            throw new TemplateException("complex numbers are not supported");
        double power = Math.Pow(a, b);
        return double.IsInfinity(power) && double.IsFinite(a) && double.IsFinite(b)
            ? throw new TemplateException("numerical result out of range") : TemplateValue.From(power);
    }

    private static TemplateValue Repeat(RenderState state, TemplateValue left, TemplateValue right)
    {
        if (left.Kind is TemplateValueKind.Boolean or TemplateValueKind.Integer or TemplateValueKind.BigInteger)
            (left, right) = (right, left);
        bool isCount = right.Kind is TemplateValueKind.Boolean or TemplateValueKind.Integer or TemplateValueKind.BigInteger;
        if (!isCount || !(left.IsText || left.AsList is not null))
            throw Unsupported("*", left, right);
        int unit = left.AsText?.Length ?? left.AsList!.Count;
        BigInteger wanted = BigInteger.Max(right.AsBigInteger, 0);
        if (wanted * unit > state.Limits.MaxValueLength)
            throw new TemplateException($"a repetition of {wanted} times {unit} is over the limit of {state.Limits.MaxValueLength}");
        int count = unit == 0 ? 0 : (int)wanted;
        if (left.AsText is string text)
            return state.TextLike(left, string.Concat(Enumerable.Repeat(text, count)));
        List<TemplateValue> items = new(count * unit);
        for (int i = 0; i < count; i++)
            items.AddRange(left.AsList!.Items);
        return state.List(items, left.AsList!.IsTuple);
    }

    public static bool Compare(RenderState state, Comparison comparison, TemplateValue left, TemplateValue right) => comparison switch
    {
        Comparison.Equal => state.Equal(left, right),
        Comparison.NotEqual => !state.Equal(left, right),
        Comparison.In => Contains(state, right, left),
        Comparison.NotIn => !Contains(state, right, left),
        Comparison.Less => Order(state, "<", left, right) is < 0,
        Comparison.LessOrEqual => Order(state, "<=", left, right) is <= 0,
        Comparison.Greater => Order(state, ">", left, right) is > 0,
        _ => Order(state, ">=", left, right) is >= 0,
    };

    /// <summary>Negative, zero or positive; null where NaN makes every order false.</summary>
    /// <exception cref="TemplateException">The two types have no order.</exception>
    public static int? Order(RenderState state, string op, TemplateValue left, TemplateValue right)
    {
        state.Charge();
        if (left.IsNumber && right.IsNumber)
            return PythonNumbers.Compare(left, right);
        if (left.IsText && right.IsText)
            return PythonStrings.Compare(left.AsText!, right.AsText!);
        if (left.AsList is TemplateList a && right.AsList is TemplateList b && a.IsTuple == b.IsTuple)
        {
            RuntimeGuard.Stack();
            for (int i = 0; i < Math.Min(a.Count, b.Count); i++)
                if (!state.Equal(a[i], b[i]))
                    return Order(state, op, a[i], b[i]);
            return a.Count.CompareTo(b.Count);
        }
        if (left.IsUndefined || right.IsUndefined)
            throw UndefinedUse(left.IsUndefined ? left : right);
        throw new TemplateException($"'{op}' not supported between instances of '{left.TypeName}' and '{right.TypeName}'");
    }

    /// <summary>item in container</summary>
    public static bool Contains(RenderState state, TemplateValue container, TemplateValue item)
    {
        if (container.AsText is string text)
        {
            if (item.AsText is not string part)
                throw new TemplateException($"'in <string>' requires string as left operand, not {item.TypeName}");
            state.ChargeText(text.Length);
            return text.Contains(part, StringComparison.Ordinal);
        }
        switch (container.Reference)
        {
            case TemplateDict dict:
                state.ChargeText(item.AsText?.Length ?? 0);
                return dict.TryGet(item, out _);
            case DictView { Part: DictViewPart.Keys } keys:
                return keys.Dict.TryGet(item, out _);
            case RangeObject range when item.Kind is TemplateValueKind.Integer or TemplateValueKind.Boolean:
                Int128 offset = (Int128)item.AsLong - range.Start;
                return offset % range.Step == 0 && offset / range.Step >= 0 && offset / range.Step < range.Count;
        }
        if (!Iteration.IsIterable(container))
            throw new TemplateException($"argument of type '{container.TypeName}' is not iterable");
        foreach (TemplateValue each in Iteration.Of(state, container))
            if (state.Equal(each, item))
                return true;
        return false;
    }
}
