// How text is spelled inside JSON strings when there is only one spelling to allow: keys, enums, constants, patterns.

using System.Globalization;
using System.Text;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints;

internal static class JsonSpelling
{
    /// <summary>What RFC 8259 does not allow unescaped inside a string.</summary>
    public static CodePointSet MustEscape { get; } = CodePointSet.FromRanges([new(0, 0x1F), new('"', '"'), new('\\', '\\')]);

    /// <summary>What needs no escape.</summary>
    public static CodePointSet Plain { get; } = MustEscape.Complement();

    /// <summary>By position: whether the bytes from there on are plain text in whole characters. One entry more than there are bytes.</summary>
    public static bool[] PlainFrom(ReadOnlySpan<byte> bytes)
    {
        bool[] plain = new bool[bytes.Length + 1];
        plain[^1] = true;
        for (int i = bytes.Length - 1; i >= 0; i--)
            plain[i] = Rune.DecodeFromUtf8(bytes[i..], out Rune rune, out int length) == System.Buffers.OperationStatus.Done
                && !MustEscape.Contains(rune.Value) && plain[i + length];
        return plain;
    }

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
