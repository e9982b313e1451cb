// How text is spelled inside JSON strings when there is only one spelling to allow: keys, enums, constants, patterns.

using System.Globalization;
using System.Text;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints;

internal static class JsonText
{
    /// <summary>What RFC 8259 does not allow unescaped inside a string.</summary>
    public static CodePointSet MustEscape { get; } = CodePointSet.FromRanges([new(0, 0x1F), new('"', '"'), new('\\', '\\')]);

    /// <summary>The spellings of a character that must be escaped: its short one, or \u with either case of digits.</summary>
    public static string[] EscapesOf(char c) => c switch
    {
        '"' => ["\\\""],
        '\\' => ["\\\\"],
        '\b' => ["\\b"],
        '\f' => ["\\f"],
        '\n' => ["\\n"],
        '\r' => ["\\r"],
        '\t' => ["\\t"],
        _ => SpellHex(c),
    };

    private static string[] SpellHex(char c)
    {
        string upper = "\\u" + ((int)c).ToString("X4", CultureInfo.InvariantCulture);
        string lower = "\\u" + ((int)c).ToString("x4", CultureInfo.InvariantCulture);
        return upper == lower ? [upper] : [upper, lower];
    }

    /// <summary>Refuses text with lone surrogates, which UTF-8 cannot spell.</summary>
    public static void RequireWellFormed(string text, string path)
    {
        for (int i = 0; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i]))
                continue;
            if (!char.IsHighSurrogate(text[i]) || i + 1 == text.Length || !char.IsLowSurrogate(text[++i]))
                throw new ConstraintException(path, "the text holds a lone surrogate, which UTF-8 cannot spell");
        }
    }

    /// <summary>The text as a JSON string with its quotes, escaping only what must be.</summary>
    public static string Quote(string text)
    {
        StringBuilder quoted = new("\"");
        foreach (char c in text)
            quoted.Append(MustEscape.Contains(c) ? EscapesOf(c)[0] : c.ToString());
        return quoted.Append('"').ToString();
    }
}
