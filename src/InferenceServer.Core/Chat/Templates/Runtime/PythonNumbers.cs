// Python's numbers: comparison across types, shortest text of a float, exact rounding.

using System.Globalization;
using System.Numerics;
using System.Text;

namespace InferenceServer.Chat.Templates;

internal static class PythonNumbers
{
    /// <summary>Negative, zero or positive; any comparison with NaN gives null.</summary>
    public static int? Compare(TemplateValue left, TemplateValue right)
    {
        bool leftIsFloat = left.Kind == TemplateValueKind.Float;
        bool rightIsFloat = right.Kind == TemplateValueKind.Float;
        if (leftIsFloat && rightIsFloat)
            return double.IsNaN(left.AsDouble) || double.IsNaN(right.AsDouble) ? null : left.AsDouble.CompareTo(right.AsDouble);
        if (leftIsFloat)
            return -CompareWithFloat(right.AsBigInteger, left.AsDouble);
        if (rightIsFloat)
            return CompareWithFloat(left.AsBigInteger, right.AsDouble);
        if (left.Kind == TemplateValueKind.BigInteger || right.Kind == TemplateValueKind.BigInteger)
            return left.AsBigInteger.CompareTo(right.AsBigInteger);
        return left.AsLong.CompareTo(right.AsLong);
    }

    private static int? CompareWithFloat(BigInteger integer, double number)
    {
        if (double.IsNaN(number))
            return null;
        if (double.IsInfinity(number))
            return number > 0 ? -1 : 1;
        int whole = integer.CompareTo(new BigInteger(number));
        return whole != 0 ? whole : Math.Truncate(number).CompareTo(number);
    }

    /// <summary>Python's repr of a float: the shortest digits that give it back, with an exponent below 1e-4 and from 1e16.</summary>
    public static string Repr(double number)
    {
        if (double.IsNaN(number))
            return "nan";
        if (double.IsInfinity(number))
            return number > 0 ? "inf" : "-inf";
        if (number == 0)
            return double.IsNegative(number) ? "-0.0" : "0.0";
        // "R" gives the shortest round-trip digits, in a notation of its own: take its digits and the exponent apart.
        string shortest = number.ToString("R", CultureInfo.InvariantCulture);
        (string digits, int exponent) = Digits(shortest);
        string sign = number < 0 ? "-" : "";
        return sign + (exponent is < -4 or >= 16 ? WithExponent(digits, exponent) : Plain(digits, exponent, keepsPoint: true));
    }

    /// <summary>The significant digits of an invariant number text, and the power of ten of the first one.</summary>
    private static (string Digits, int Exponent) Digits(string text)
    {
        ReadOnlySpan<char> mantissa = text.AsSpan().TrimStart('-');
        int exponent = 0;
        int e = mantissa.IndexOf('E');
        if (e >= 0)
        {
            exponent = int.Parse(mantissa[(e + 1)..], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
            mantissa = mantissa[..e];
        }
        int point = mantissa.IndexOf('.');
        int wholeLength = point < 0 ? mantissa.Length : point;
        string all = point < 0 ? mantissa.ToString() : string.Concat(mantissa[..point], mantissa[(point + 1)..]);
        int leadingZeros = all.Length - all.AsSpan().TrimStart('0').Length;
        string digits = all[leadingZeros..].TrimEnd('0');
        return (digits.Length == 0 ? "0" : digits, exponent + wholeLength - 1 - leadingZeros);
    }

    private static string WithExponent(string digits, int exponent)
    {
        string mantissa = digits.Length == 1 ? digits : digits[..1] + "." + digits[1..];
        return $"{mantissa}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent).ToString("00", CultureInfo.InvariantCulture)}";
    }

    private static string Plain(string digits, int exponent, bool keepsPoint)
    {
        if (exponent < 0)
            return "0." + new string('0', -exponent - 1) + digits;
        if (digits.Length <= exponent + 1)
            return digits + new string('0', exponent + 1 - digits.Length) + (keepsPoint ? ".0" : "");
        return digits[..(exponent + 1)] + "." + digits[(exponent + 1)..];
    }

    /// <summary>The magnitude of a finite float with this many decimals, ties to even on the exact binary value, as C's %f.</summary>
    public static string Fixed(double number, int decimals)
    {
        BigInteger scaled = Scaled(Math.Abs(number), decimals);
        string digits = scaled.ToString(CultureInfo.InvariantCulture);
        if (decimals == 0)
            return digits;
        digits = digits.PadLeft(decimals + 1, '0');
        return digits[..^decimals] + "." + digits[^decimals..];
    }

    /// <summary>|number| times 10^power, rounded to an integer, ties to even.</summary>
    private static BigInteger Scaled(double number, int power)
    {
        long bits = BitConverter.DoubleToInt64Bits(number);
        int exponent = (int)((bits >> 52) & 0x7FF);
        BigInteger numerator = (bits & 0xFFFFFFFFFFFFF) | (exponent == 0 ? 0 : 1L << 52);
        int shift = Math.Max(exponent, 1) - 1075;
        BigInteger denominator = BigInteger.One;
        if (shift > 0)
            numerator <<= shift;
        else
            denominator <<= -shift;
        if (power > 0)
            numerator *= BigInteger.Pow(10, power);
        else
            denominator *= BigInteger.Pow(10, -power);
        BigInteger quotient = BigInteger.DivRem(numerator, denominator, out BigInteger rest);
        int half = (rest * 2).CompareTo(denominator);
        return half > 0 || (half == 0 && !quotient.IsEven) ? quotient + 1 : quotient;
    }

    /// <summary>C's %e of the magnitude.</summary>
    public static string Exponential(double number, int decimals)
    {
        (string digits, int exponent) = Significant(number, decimals + 1);
        string mantissa = decimals == 0 ? digits : digits[..1] + "." + digits[1..];
        return $"{mantissa}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent).ToString("00", CultureInfo.InvariantCulture)}";
    }

    /// <summary>C's %g of the magnitude; the alternate form keeps trailing zeros.</summary>
    public static string General(double number, int precision, bool keepsZeros)
    {
        precision = Math.Max(precision, 1);
        (string digits, int exponent) = Significant(number, precision);
        if (!keepsZeros)
            digits = digits.TrimEnd('0');
        if (digits.Length == 0)
            digits = "0";
        return exponent < -4 || exponent >= precision ? WithExponent(digits, exponent) : Plain(digits, exponent, keepsPoint: false);
    }

    /// <summary>Exactly this many significant digits of the magnitude, and the power of ten of the first.</summary>
    private static (string Digits, int Exponent) Significant(double number, int count)
    {
        number = Math.Abs(number);
        if (number == 0)
            return (new string('0', count), 0);
        int exponent = (int)Math.Floor(Math.Log10(number));
        for (int guess = exponent + 1; ; guess--)
        {
            string digits = Scaled(number, count - 1 - guess).ToString(CultureInfo.InvariantCulture);
            if (digits.Length > count)
                return (digits[..count], guess + 1);
            if (digits.Length == count)
                return (digits, guess);
        }
    }

    /// <summary>Python's round(number, decimals) of a float.</summary>
    public static double Round(double number, int decimals)
    {
        // A double has no digits beyond these, and none is left of these.
        if (!double.IsFinite(number) || decimals > 323)
            return number;
        if (decimals < -308)
            return 0;
        string text = decimals >= 0
            ? Fixed(number, decimals)
            : Scaled(Math.Abs(number), decimals).ToString(CultureInfo.InvariantCulture) + "E" + (-decimals).ToString(CultureInfo.InvariantCulture);
        double rounded = double.Parse(text, CultureInfo.InvariantCulture);
        return double.IsNegative(number) ? -rounded : rounded;
    }

    /// <summary>An integer of digits alone, in a base of 2 to 36.</summary>
    public static bool TryParseInteger(ReadOnlySpan<char> text, int numberBase, out BigInteger value)
    {
        value = BigInteger.Zero;
        if (text.IsEmpty)
            return false;
        if (numberBase == 10)
            return BigInteger.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
        foreach (char c in text)
        {
            int digit = char.IsAsciiDigit(c) ? c - '0' : char.IsAsciiLetter(c) ? (c | 0x20) - 'a' + 10 : 36;
            if (digit >= numberBase)
                return false;
            value = (value * numberBase) + digit;
        }
        return true;
    }

    /// <summary>Python's int(text, base): spaces around, a sign, underscores between digits, a prefix that fits the base.</summary>
    public static bool TryParsePythonInteger(string text, int numberBase, out BigInteger value)
    {
        value = default;
        ReadOnlySpan<char> rest = PythonStrings.Strip(text, null);
        bool isNegative = rest.StartsWith("-");
        if (isNegative || rest.StartsWith("+"))
            rest = rest[1..];
        int prefixBase = rest.Length > 1 && rest[0] == '0' ? (rest[1] | 0x20) switch { 'x' => 16, 'o' => 8, 'b' => 2, _ => 0 } : 0;
        if (prefixBase != 0 && (numberBase == prefixBase || numberBase == 0))
        {
            rest = rest[2..];
            numberBase = prefixBase;
        }
        if (numberBase == 0)
            numberBase = 10;
        StringBuilder digits = new(rest.Length);
        for (int i = 0; i < rest.Length; i++)
        {
            if (rest[i] == '_' && i > 0 && i + 1 < rest.Length && rest[i - 1] != '_')
                continue;
            digits.Append(char.IsDigit(rest[i]) ? (char)('0' + (int)char.GetNumericValue(rest[i])) : rest[i]);
        }
        // Python refuses more than 4300 digits too.
        if (numberBase is < 2 or > 36 || digits.Length > 4300 || !TryParseInteger(digits.ToString(), numberBase, out value))
            return false;
        if (isNegative)
            value = -value;
        return true;
    }

    /// <summary>Python's float(text).</summary>
    public static bool TryParsePythonFloat(string text, out double value)
    {
        string trimmed = PythonStrings.Strip(text, null).ToString();
        string unsigned = trimmed.TrimStart('+', '-');
        value = 0;
        if (trimmed.Length - unsigned.Length > 1 || unsigned.Length == 0)
            return false;
        bool isNegative = trimmed[0] == '-';
        string lower = unsigned.ToLowerInvariant();
        if (lower is "inf" or "infinity" or "nan")
        {
            value = lower == "nan" ? double.NaN : isNegative ? double.NegativeInfinity : double.PositiveInfinity;
            return true;
        }
        string digits = unsigned.Replace("_", "", StringComparison.Ordinal);
        const NumberStyles Style = NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;
        if (!double.TryParse(digits, Style, CultureInfo.InvariantCulture, out value))
            return false;
        value = isNegative ? -value : value;
        return true;
    }
}
