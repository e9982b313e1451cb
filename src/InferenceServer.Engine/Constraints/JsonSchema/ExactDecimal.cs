// Numbers of a schema exactly as written: bounds must not be rounded.

using System.Globalization;
using System.Numerics;

namespace InferenceServer.Engine.Constraints.JsonSchema;

/// <summary>Mantissa / 10^Scale, with Scale not negative and as small as can be.</summary>
internal readonly record struct ExactDecimal(BigInteger Mantissa, int Scale) : IComparable<ExactDecimal>
{
    /// <summary>Beyond every double; more digits would only make automata large.</summary>
    private const int MaxDigits = 400;

    public static ExactDecimal Zero { get; } = new(0, 0);

    public bool IsInteger => Scale == 0;

    public bool IsNegative => Mantissa.Sign < 0;

    /// <summary>The digits before the point, "0" at least.</summary>
    public string IntegerDigits => BigInteger.Divide(BigInteger.Abs(Mantissa), BigInteger.Pow(10, Scale)).ToString(CultureInfo.InvariantCulture);

    /// <summary>The digits after the point, without trailing zeros.</summary>
    public string FractionDigits => Scale == 0 ? "" : BigInteger.Remainder(BigInteger.Abs(Mantissa), BigInteger.Pow(10, Scale))
        .ToString(CultureInfo.InvariantCulture).PadLeft(Scale, '0');

    public static ExactDecimal operator -(ExactDecimal value) => new(-value.Mantissa, value.Scale);

    public static bool operator <(ExactDecimal a, ExactDecimal b) => a.CompareTo(b) < 0;

    public static bool operator >(ExactDecimal a, ExactDecimal b) => a.CompareTo(b) > 0;

    /// <summary>Reads a JSON number; null when it has more digits than any use needs.</summary>
    public static ExactDecimal? Parse(string json)
    {
        int exponentAt = json.IndexOfAny(['e', 'E']);
        string digits = exponentAt < 0 ? json : json[..exponentAt];
        int exponent = 0;
        if (exponentAt >= 0 && !int.TryParse(json.AsSpan(exponentAt + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out exponent))
            return null;
        int point = digits.IndexOf('.', StringComparison.Ordinal);
        int scale = point < 0 ? 0 : digits.Length - point - 1;
        if (digits.Length > MaxDigits || Math.Abs((long)exponent) > MaxDigits)
            return null;
        BigInteger mantissa = BigInteger.Parse(digits.Replace(".", "", StringComparison.Ordinal), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        scale -= exponent;
        if (scale < 0)
            (mantissa, scale) = (mantissa * BigInteger.Pow(10, -scale), 0);
        while (scale > 0 && (mantissa % 10).IsZero)
            (mantissa, scale) = (mantissa / 10, scale - 1);
        return new(mantissa, scale);
    }

    public int CompareTo(ExactDecimal other)
    {
        int scale = Math.Max(Scale, other.Scale);
        return (Mantissa * BigInteger.Pow(10, scale - Scale)).CompareTo(other.Mantissa * BigInteger.Pow(10, scale - other.Scale));
    }

    public bool IsMultipleOf(ExactDecimal divisor)
    {
        int scale = Math.Max(Scale, divisor.Scale);
        return (Mantissa * BigInteger.Pow(10, scale - Scale) % (divisor.Mantissa * BigInteger.Pow(10, scale - divisor.Scale))).IsZero;
    }
}
