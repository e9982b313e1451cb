// \p{..} of regular expressions: the general categories of Unicode, by their short names and the one-letter groups.

using System.Collections.Frozen;
using System.Globalization;

namespace InferenceServer.Engine.Constraints.Regular;

internal static class UnicodeCategories
{
    private static readonly FrozenDictionary<string, UnicodeCategory> ByName = new Dictionary<string, UnicodeCategory>
    {
        ["Lu"] = UnicodeCategory.UppercaseLetter,
        ["Ll"] = UnicodeCategory.LowercaseLetter,
        ["Lt"] = UnicodeCategory.TitlecaseLetter,
        ["Lm"] = UnicodeCategory.ModifierLetter,
        ["Lo"] = UnicodeCategory.OtherLetter,
        ["Mn"] = UnicodeCategory.NonSpacingMark,
        ["Mc"] = UnicodeCategory.SpacingCombiningMark,
        ["Me"] = UnicodeCategory.EnclosingMark,
        ["Nd"] = UnicodeCategory.DecimalDigitNumber,
        ["Nl"] = UnicodeCategory.LetterNumber,
        ["No"] = UnicodeCategory.OtherNumber,
        ["Pc"] = UnicodeCategory.ConnectorPunctuation,
        ["Pd"] = UnicodeCategory.DashPunctuation,
        ["Ps"] = UnicodeCategory.OpenPunctuation,
        ["Pe"] = UnicodeCategory.ClosePunctuation,
        ["Pi"] = UnicodeCategory.InitialQuotePunctuation,
        ["Pf"] = UnicodeCategory.FinalQuotePunctuation,
        ["Po"] = UnicodeCategory.OtherPunctuation,
        ["Sm"] = UnicodeCategory.MathSymbol,
        ["Sc"] = UnicodeCategory.CurrencySymbol,
        ["Sk"] = UnicodeCategory.ModifierSymbol,
        ["So"] = UnicodeCategory.OtherSymbol,
        ["Zs"] = UnicodeCategory.SpaceSeparator,
        ["Zl"] = UnicodeCategory.LineSeparator,
        ["Zp"] = UnicodeCategory.ParagraphSeparator,
        ["Cc"] = UnicodeCategory.Control,
        ["Cf"] = UnicodeCategory.Format,
        ["Co"] = UnicodeCategory.PrivateUse,
        ["Cn"] = UnicodeCategory.OtherNotAssigned,
    }.ToFrozenDictionary();

    // One pass over all code points takes some 10 ms, so it is made once, when the first \p is seen.
    private static readonly Lazy<UnicodeCategory[]> CategoryOf = new(() =>
    {
        UnicodeCategory[] categories = new UnicodeCategory[CodePointSet.MaxCodePoint + 1];
        for (int codePoint = 0; codePoint < categories.Length; codePoint++)
            categories[codePoint] = CharUnicodeInfo.GetUnicodeCategory(codePoint);
        return categories;
    });

    /// <summary>The set of a category such as <c>Lu</c> or a group such as <c>L</c>; null when there is none of that name.</summary>
    public static CodePointSet? Find(string name)
    {
        HashSet<UnicodeCategory> wanted = [.. ByName.Where(pair => pair.Key == name || (name.Length == 1 && pair.Key[0] == name[0])).Select(pair => pair.Value)];
        if (wanted.Count == 0)
            return null;
        List<CodePointRange> ranges = [];
        UnicodeCategory[] categories = CategoryOf.Value;
        for (int codePoint = 0; codePoint < categories.Length; codePoint++)
        {
            if (!wanted.Contains(categories[codePoint]))
                continue;
            int first = codePoint;
            while (codePoint + 1 < categories.Length && wanted.Contains(categories[codePoint + 1]))
                codePoint++;
            ranges.Add(new(first, codePoint));
        }
        return CodePointSet.FromRanges(ranges);
    }
}
