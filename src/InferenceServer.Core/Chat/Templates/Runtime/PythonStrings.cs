// Python's strings are sequences of code points, ours of UTF-16 units: lengths, indexes and slices are converted here, and only where a text has
// surrogates (few do). Also Python's idea of whitespace, case and printability.

using System.Globalization;
using System.Text;

namespace InferenceServer.Chat.Templates;

internal static class PythonStrings
{
    public static bool HasSurrogates(ReadOnlySpan<char> text) => text.IndexOfAnyInRange('\ud800', '\udfff') >= 0;

    /// <summary>Code points in the text; a lone surrogate counts as one.</summary>
    public static int Length(ReadOnlySpan<char> text)
    {
        if (!HasSurrogates(text))
            return text.Length;
        int count = 0;
        for (int i = 0; i < text.Length; i += UnitsAt(text, i))
            count++;
        return count;
    }

    /// <summary>UTF-16 units of the code point that starts at a unit index.</summary>
    public static int UnitsAt(ReadOnlySpan<char> text, int at) =>
        char.IsHighSurrogate(text[at]) && at + 1 < text.Length && char.IsLowSurrogate(text[at + 1]) ? 2 : 1;

    /// <summary>The unit index of a code point index, which may be the length.</summary>
    public static int UnitIndex(string text, int codePoint)
    {
        if (!HasSurrogates(text))
            return codePoint;
        int at = 0;
        for (; codePoint > 0; codePoint--)
            at += UnitsAt(text, at);
        return at;
    }

    /// <summary>The code point index of a unit index.</summary>
    public static int CodePointIndex(string text, int unit) => Length(text.AsSpan(0, unit));

    /// <summary>The texts of the single code points.</summary>
    public static string[] CodePoints(string text)
    {
        string[] points = new string[Length(text)];
        int at = 0;
        for (int i = 0; i < points.Length; i++)
        {
            int length = UnitsAt(text, at);
            points[i] = text.Substring(at, length);
            at += length;
        }
        return points;
    }

    /// <summary>Order of code points, which for surrogates is not the order of UTF-16 units.</summary>
    public static int Compare(string left, string right)
    {
        int common = left.AsSpan().CommonPrefixLength(right);
        if (common == left.Length || common == right.Length)
            return left.Length.CompareTo(right.Length);
        char a = left[common];
        char b = right[common];
        if (char.IsSurrogate(a) != char.IsSurrogate(b))
            return char.IsSurrogate(a) ? 1 : -1;
        return a.CompareTo(b);
    }

    /// <summary>Python's str.isspace() of one unit.</summary>
    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\x1c' and <= '\x1f';

    /// <summary>Without whitespace at both ends, or without the units of <paramref name="chars"/>.</summary>
    public static ReadOnlySpan<char> Strip(ReadOnlySpan<char> text, string? chars, bool atStart = true, bool atEnd = true)
    {
        int start = 0;
        int end = text.Length;
        if (chars is not null && HasSurrogates(chars))
            return StripCodePoints(text, chars, atStart, atEnd);
        while (atStart && start < end && Matches(text[start], chars))
            start++;
        while (atEnd && end > start && Matches(text[end - 1], chars))
            end--;
        return text[start..end];
    }

    private static bool Matches(char c, string? chars) => chars is null ? IsSpace(c) : chars.Contains(c, StringComparison.Ordinal);

    private static ReadOnlySpan<char> StripCodePoints(ReadOnlySpan<char> text, string chars, bool atStart, bool atEnd)
    {
        HashSet<string> set = [.. CodePoints(chars)];
        while (atStart && text.Length > 0 && set.Contains(text[..UnitsAt(text, 0)].ToString()))
            text = text[UnitsAt(text, 0)..];
        while (atEnd && text.Length > 0)
        {
            int length = text.Length > 1 && char.IsLowSurrogate(text[^1]) && char.IsHighSurrogate(text[^2]) ? 2 : 1;
            if (!set.Contains(text[^length..].ToString()))
                break;
            text = text[..^length];
        }
        return text;
    }

    /// <summary>Python's str.isprintable() of one code point.</summary>
    public static bool IsPrintable(Rune rune) => rune.Value == ' ' || Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.Control
        or UnicodeCategory.Format or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned
        or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.SpaceSeparator);

    /// <summary>Python's str.upper(): .NET maps one code point to one, Unicode a few to several.</summary>
    public static string Upper(string text)
    {
        string upper = text.ToUpperInvariant();
        return Ascii.IsValid(text) ? upper : UnicodeCase.ExpandUpper(text, upper);
    }

    public static string Lower(string text)
    {
        string lower = text.ToLowerInvariant();
        return Ascii.IsValid(text) ? lower : UnicodeCase.ExpandLower(text, lower);
    }

    /// <summary>The first code point in title case, the rest in lower case.</summary>
    public static string Capitalize(string text)
    {
        if (text.Length == 0)
            return text;
        int length = UnitsAt(text, 0);
        return UnicodeCase.Title(text[..length]) + Lower(text)[Lower(text[..length]).Length..];
    }

    /// <summary>Python's str.title(): the first of each run of cased letters in title case.</summary>
    public static string Title(string text)
    {
        StringBuilder title = new(text.Length);
        bool inWord = false;
        foreach (string point in CodePoints(text))
        {
            title.Append(inWord ? Lower(point) : UnicodeCase.Title(point));
            inWord = IsCased(point);
        }
        return title.ToString();
    }

    private static bool IsCased(string point) => Rune.TryGetRuneAt(point, 0, out Rune rune)
        && Rune.GetUnicodeCategory(rune) is UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter;

    public static string SwapCase(string text) =>
        string.Concat(CodePoints(text).Select(point => IsUpper(point) ? Lower(point) : IsLower(point) ? Upper(point) : point));

    /// <summary>Some cased letter, and none of the other case.</summary>
    public static bool IsUpper(string text) => IsOneCase(text, UnicodeCategory.LowercaseLetter, UnicodeCategory.UppercaseLetter);

    public static bool IsLower(string text) => IsOneCase(text, UnicodeCategory.UppercaseLetter, UnicodeCategory.LowercaseLetter);

    private static bool IsOneCase(string text, UnicodeCategory wrong, UnicodeCategory right)
    {
        bool found = false;
        foreach (Rune rune in text.EnumerateRunes())
        {
            UnicodeCategory category = Rune.GetUnicodeCategory(rune);
            if (category == wrong || category == UnicodeCategory.TitlecaseLetter)
                return false;
            found |= category == right;
        }
        return found;
    }

    public static bool IsTitle(string text)
    {
        bool inWord = false;
        bool found = false;
        foreach (string point in CodePoints(text))
        {
            bool isUpper = IsUpper(point) || (Rune.TryGetRuneAt(point, 0, out Rune rune) && Rune.GetUnicodeCategory(rune) == UnicodeCategory.TitlecaseLetter);
            if (isUpper ? inWord : IsLower(point) && !inWord)
                return false;
            inWord = IsCased(point);
            found |= inWord;
        }
        return found;
    }

    /// <summary>Whether every code point passes, and there is one.</summary>
    public static bool All(string text, Func<Rune, bool> test)
    {
        if (text.Length == 0)
            return false;
        foreach (Rune rune in text.EnumerateRunes())
            if (!test(rune))
                return false;
        return true;
    }

    /// <summary>Python's str.splitlines().</summary>
    public static List<string> SplitLines(string text, bool keepEnds)
    {
        List<string> lines = [];
        int start = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] is not ((>= '\n' and <= '\r') or (>= '\x1c' and <= '\x1e') or '\x85' or '\u2028' or '\u2029'))
                continue;
            int end = i;
            if (text[i] == '\r' && i + 1 < text.Length && text[i + 1] == '\n')
                i++;
            lines.Add(text[start..(keepEnds ? i + 1 : end)]);
            start = i + 1;
        }
        if (start < text.Length)
            lines.Add(text[start..]);
        return lines;
    }

    /// <summary>Python's str.split() on runs of whitespace, with at most <paramref name="max"/> splits where it is not negative.</summary>
    public static List<string> SplitSpace(string text, long max)
    {
        List<string> words = [];
        int at = 0;
        while (true)
        {
            while (at < text.Length && IsSpace(text[at]))
                at++;
            if (at >= text.Length)
                return words;
            if (max >= 0 && words.Count == max)
            {
                words.Add(text[at..]);
                return words;
            }
            int start = at;
            while (at < text.Length && !IsSpace(text[at]))
                at++;
            words.Add(text[start..at]);
        }
    }

    public static List<string> SplitSpaceFromEnd(string text, long max)
    {
        List<string> words = [];
        int end = text.Length;
        while (true)
        {
            while (end > 0 && IsSpace(text[end - 1]))
                end--;
            if (end == 0)
                break;
            if (max >= 0 && words.Count == max)
            {
                words.Add(text[..end]);
                break;
            }
            int start = end;
            while (start > 0 && !IsSpace(text[start - 1]))
                start--;
            words.Add(text[start..end]);
            end = start;
        }
        words.Reverse();
        return words;
    }
}
