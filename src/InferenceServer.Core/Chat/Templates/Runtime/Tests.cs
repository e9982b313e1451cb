// The tests that stand behind "is".

using System.Collections.Frozen;

namespace InferenceServer.Chat.Templates;

internal static class Tests
{
    private static readonly FrozenDictionary<string, Builtin> ByName = All().ToFrozenDictionary(test => test.Name);

    public static Builtin? Find(string name) => ByName.GetValueOrDefault(name);

    private static Builtin[] All() =>
    [
        Of("defined", value => !value.IsUndefined),
        Of("undefined", value => value.IsUndefined),
        Of("none", value => value.IsNone),
        Of("boolean", value => value.Kind == TemplateValueKind.Boolean),
        Of("true", value => value.Kind == TemplateValueKind.Boolean && value.AsBoolean),
        Of("false", value => value.Kind == TemplateValueKind.Boolean && !value.AsBoolean),
        Of("integer", value => value.Kind is TemplateValueKind.Integer or TemplateValueKind.BigInteger),
        Of("float", value => value.Kind == TemplateValueKind.Float),
        Of("number", value => value.IsNumber),
        Of("string", value => value.IsText),
        Of("mapping", value => value.Kind == TemplateValueKind.Dict),
        Of("sequence", value => value.IsUndefined || value.IsText || value.Reference is TemplateList or TemplateDict or RangeObject),
        Of("iterable", Iteration.IsIterable),
        // Python calls undefined values callable too: calling one is what fails.
        Of("callable", value => value.IsUndefined || value.Reference is CallableObject),
        Of("escaped", value => value.Kind == TemplateValueKind.Markup),
        new("lower", "", (state, value, _) => PythonStrings.IsLower(PythonText.String(state, value))),
        new("upper", "", (state, value, _) => PythonStrings.IsUpper(PythonText.String(state, value))),
        new("odd", "", (state, value, _) => state.Equal(Operators.Arithmetic(state, "%", value, 2), 1)),
        new("even", "", (state, value, _) => state.Equal(Operators.Arithmetic(state, "%", value, 2), 0)),
        new("divisibleby", "num", (state, value, args) => state.Equal(Operators.Arithmetic(state, "%", value, args[0]), 0)),
        new("sameas", "other", (_, value, args) => IsSame(value, args[0])),
        new("in", "seq", (state, value, args) => Operators.Contains(state, args[0], value)),
        new("filter", "", (_, value, _) => value.AsText is string name && Filters.Find(name) is not null),
        new("test", "", (_, value, _) => value.AsText is string name && Find(name) is not null),
        .. Comparisons("==", Comparison.Equal, "eq", "equalto"),
        .. Comparisons("!=", Comparison.NotEqual, "ne"),
        .. Comparisons(">", Comparison.Greater, "gt", "greaterthan"),
        .. Comparisons(">=", Comparison.GreaterOrEqual, "ge"),
        .. Comparisons("<", Comparison.Less, "lt", "lessthan"),
        .. Comparisons("<=", Comparison.LessOrEqual, "le"),
    ];

    private static Builtin Of(string name, Func<TemplateValue, bool> test) => new(name, "", (_, value, _) => test(value));

    private static IEnumerable<Builtin> Comparisons(string sign, Comparison comparison, params string[] names) =>
        names.Prepend(sign).Select(name => new Builtin(name, "other", (state, value, args) => Operators.Compare(state, comparison, value, args[0])));

    private static bool IsSame(TemplateValue left, TemplateValue right)
    {
        if (left.Kind != right.Kind)
            return false;
        bool isScalar = left.IsText || left.IsNumber || left.IsNone;
        return isScalar ? PythonEquality.KeysEqual(left, right) : ReferenceEquals(left.Reference, right.Reference);
    }
}
