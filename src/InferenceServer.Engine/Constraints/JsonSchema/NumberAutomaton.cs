// Numbers within bounds as automata over their digits. Spelled without exponent, so that comparing is reading digits from the left.

using System.Numerics;
using InferenceServer.Engine.Constraints.Automaton;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.JsonSchema;

/// <summary>What a schema demands of a number.</summary>
internal sealed record NumberBounds
{
    public ExactDecimal? Min { get; init; }

    public bool MinExclusive { get; init; }

    public ExactDecimal? Max { get; init; }

    public bool MaxExclusive { get; init; }

    public bool AllowIntegers { get; init; } = true;

    public bool AllowFractions { get; init; } = true;

    public IReadOnlyList<ExactDecimal> MultiplesOf { get; init; } = [];

    public IReadOnlyList<ExactDecimal> Excluded { get; init; } = [];

    private bool IsUnbounded => Min is null && Max is null && MultiplesOf.Count == 0 && Excluded.Count == 0;

    public bool IsFree => IsUnbounded && AllowFractions && AllowIntegers;

    public NumberBounds AtLeast(ExactDecimal bound, bool exclusive)
    {
        int order = Min is { } min ? bound.CompareTo(min) : 1;
        return order < 0 ? this : this with { Min = bound, MinExclusive = exclusive || (order == 0 && MinExclusive) };
    }

    public NumberBounds AtMost(ExactDecimal bound, bool exclusive)
    {
        int order = Max is { } max ? bound.CompareTo(max) : -1;
        return order > 0 ? this : this with { Max = bound, MaxExclusive = exclusive || (order == 0 && MaxExclusive) };
    }

    public bool Accepts(ExactDecimal value) =>
        (value.IsInteger ? AllowIntegers : AllowFractions) &&
        !(Min is { } min && (value < min || (MinExclusive && value == min))) &&
        !(Max is { } max && (value > max || (MaxExclusive && value == max))) &&
        MultiplesOf.All(value.IsMultipleOf) && !Excluded.Contains(value);

    /// <summary>The bounds on the magnitude of negative numbers.</summary>
    public NumberBounds Mirrored => this with
    {
        Min = -Max,
        MinExclusive = MaxExclusive,
        Max = -Min,
        MaxExclusive = MinExclusive,
        Excluded = [.. Excluded.Select(v => -v)],
    };
}

internal static class NumberAutomaton
{
    /// <summary>Integers that fit 64 bits; a model that never stops counting is stopped here. Bounds may ask for more.</summary>
    private const int MaxIntegerDigits = 18;

    /// <summary>What a double holds.</summary>
    private const int MaxFractionDigits = 17;

    /// <summary>One automaton state per remainder and digit count; larger divisors are refused.</summary>
    private const int MaxDivisor = 1_000;

    // The largest magnitude, 10^18 x 10^289, is still a finite double.
    private static readonly Lazy<Dfa> Free = new(() => RegexCompiler.CompileWhole(
        $"-?(0|[1-9][0-9]{{0,{MaxIntegerDigits - 1}}})(\\.[0-9]{{1,{MaxFractionDigits}}})?([eE][+-]?([0-9]{{1,2}}|1[0-9]{{2}}|2[0-8][0-9]))?"));

    private static readonly CodePointSet[] Symbols = [.. "0123456789.".Select(c => CodePointSet.Of(c))];
    private const int Point = 10;

    private enum Phase : byte
    {
        Start,
        Zero,
        Integer,
        Point,
        Fraction,
    }

    /// <summary>Low and High: how the digits so far compare with those of the bound.</summary>
    private readonly record struct State(Phase Phase, int IntegerDigits, int FractionDigits, sbyte Low, sbyte High, int Remainder, bool HasFraction);

    /// <exception cref="AutomatonTooLargeException">A divisor that needs too many states.</exception>
    public static Expression Build(NumberBounds bounds)
    {
        if (bounds.IsFree)
            return new Expression.Terminal(Free.Value, TextEncoding.Raw);
        List<Expression> branches = [];
        Dfa natural = Magnitudes(bounds.AtLeast(ExactDecimal.Zero, exclusive: false));
        if (!natural.IsEmpty)
            branches.Add(new Expression.Terminal(natural, TextEncoding.Raw));
        // No "-0": it would be a second spelling of 0.
        Dfa negative = Magnitudes(bounds.Mirrored.AtLeast(ExactDecimal.Zero, exclusive: true));
        if (!negative.IsEmpty)
            branches.Add(new Expression.Sequence([Expression.Text("-"), new Expression.Terminal(negative, TextEncoding.Raw)]));
        return new Expression.Choice(branches);
    }

    public static bool IsEmpty(NumberBounds bounds) => Build(bounds) is Expression.Choice { Items.Count: 0 };

    private static Dfa Magnitudes(NumberBounds bounds)
    {
        Dfa dfa = MagnitudesBetween(bounds, bounds.MultiplesOf.Count > 0 ? bounds.MultiplesOf[0] : null);
        foreach (ExactDecimal divisor in bounds.MultiplesOf.Skip(1))
            dfa = dfa.Intersect(MagnitudesBetween(bounds, divisor));
        foreach (ExactDecimal value in bounds.Excluded)
            if (!value.IsNegative)
                dfa = dfa.Except(MagnitudesBetween(new NumberBounds { Min = value, Max = value }, null));
        return dfa;
    }

    /// <summary>Decimal numbers without sign within [Min, Max], Min not negative.</summary>
    private static Dfa MagnitudesBetween(NumberBounds bounds, ExactDecimal? divisor)
    {
        if (bounds.Max is { IsNegative: true })
            return Dfa.FromWords([]);
        (string lowInteger, string lowFraction) = Digits(bounds.Min ?? ExactDecimal.Zero);
        (string highInteger, string highFraction) = bounds.Max is { } max ? Digits(max) : ("", "");
        bool hasHigh = bounds.Max is not null;
        int integerLimit = Math.Max(MaxIntegerDigits, lowInteger.Length + (hasHigh ? 0 : 1));
        if (hasHigh)
            integerLimit = Math.Min(integerLimit, highInteger.Length);
        int fractionLimit = bounds.AllowFractions ? Math.Max(MaxFractionDigits, Math.Max(lowFraction.Length, highFraction.Length) + 1) : 0;
        int modulus = 1, scale = 0;
        if (divisor is { } step)
        {
            if (step.Mantissa > MaxDivisor)
                throw new AutomatonTooLargeException($"a multipleOf with more than {MaxDivisor} steps (its digits without the point) is not supported");
            (modulus, scale) = ((int)step.Mantissa, step.Scale);
            fractionLimit = Math.Min(fractionLimit, scale);
        }

        State? Step(State state, int symbol)
        {
            if (symbol == Point)
                return state.Phase is Phase.Zero or Phase.Integer && fractionLimit > 0
                    ? state with { Phase = Phase.Point, IntegerDigits = 0, Low = Settle(state.Low, state.IntegerDigits, lowInteger), High = Settle(state.High, state.IntegerDigits, highInteger) }
                    : null;
            int remainder = ((state.Remainder * 10) + symbol) % modulus;
            if (state.Phase is Phase.Start or Phase.Integer)
            {
                if (state.IntegerDigits >= integerLimit)
                    return null;
                return state with
                {
                    Phase = state.Phase == Phase.Start && symbol == 0 ? Phase.Zero : Phase.Integer,
                    IntegerDigits = state.IntegerDigits + 1,
                    Low = CompareDigit(state.Low, symbol, lowInteger, state.IntegerDigits),
                    High = CompareDigit(state.High, symbol, highInteger, state.IntegerDigits),
                    Remainder = remainder,
                };
            }
            if (state.Phase == Phase.Zero || state.FractionDigits >= fractionLimit)
                return null;
            return state with
            {
                Phase = Phase.Fraction,
                FractionDigits = state.FractionDigits + 1,
                Low = CompareFractionDigit(state.Low, symbol, lowFraction, state.FractionDigits),
                High = CompareFractionDigit(state.High, symbol, highFraction, state.FractionDigits),
                Remainder = remainder,
                HasFraction = state.HasFraction || symbol != 0,
            };
        }

        bool Accept(State state)
        {
            if (state.Phase is Phase.Start or Phase.Point)
                return false;
            if (!(state.HasFraction ? bounds.AllowFractions : bounds.AllowIntegers))
                return false;
            bool inInteger = state.Phase != Phase.Fraction;
            int low = inInteger ? Settle(state.Low, state.IntegerDigits, lowInteger) : state.Low;
            int high = inInteger ? Settle(state.High, state.IntegerDigits, highInteger) : state.High;
            // What is left of an equal bound's fraction is not zero: the number is below it.
            if (low == 0 && state.FractionDigits < lowFraction.Length)
                low = -1;
            if (high == 0 && state.FractionDigits < highFraction.Length)
                high = -1;
            if (low < 0 || (low == 0 && bounds.MinExclusive))
                return false;
            if (hasHigh && (high > 0 || (high == 0 && bounds.MaxExclusive)))
                return false;
            return (BigInteger)state.Remainder * BigInteger.Pow(10, scale - Math.Min(scale, state.FractionDigits)) % modulus == 0;
        }

        return Dfa.Build(new State(Phase.Start, 0, 0, 0, 0, 0, false), Symbols, Step, Accept);
    }

    private static (string Integer, string Fraction) Digits(ExactDecimal value) => (value.IntegerDigits, value.FractionDigits);

    private static sbyte CompareDigit(sbyte so, int digit, string bound, int index) =>
        so != 0 || index >= bound.Length ? so : (sbyte)digit.CompareTo(bound[index] - '0');

    private static sbyte CompareFractionDigit(sbyte so, int digit, string bound, int index) =>
        so != 0 ? so : (sbyte)digit.CompareTo(index < bound.Length ? bound[index] - '0' : 0);

    /// <summary>How the whole integer part compares: more digits are more, fewer are less.</summary>
    private static sbyte Settle(sbyte so, int digits, string bound) => digits == bound.Length ? so : (sbyte)digits.CompareTo(bound.Length);
}
