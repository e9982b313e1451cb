// Characters in 64 groups, so that a set of groups is one word. Letters of a script are together, as most tokens and most patterns have them; ASCII
// punctuation is each on its own. What does not form whole characters has a group too.

using System.Text;

namespace InferenceServer.Engine.Constraints.Automaton;

internal static class CharacterGroups
{
    public const ulong SmallLetters = 1, CapitalLetters = 2, Digits = 4;

    /// <summary>Bytes of halves of characters, as some tokens are.</summary>
    private const int Stray = 8;

    /// <summary>Characters of no other group.</summary>
    private const int Other = 9;

    /// <summary>Groups of characters beyond ASCII with their ranges; of <see cref="Other"/>, all that there are.</summary>
    private static readonly (int Group, (int Low, int High)[] Ranges)[] Blocks =
    [
        (Other, [(0x80, 0xD7FF), (0xE000, 0x10FFFF)]),
        (10, [(0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F), (0x1E00, 0x1EFF)]), // Latin with accents
        (11, [(0x391, 0x3A1), (0x3A3, 0x3CE)]), // Greek
        (46, [(0x400, 0x481)]), // Cyrillic
        (47, [(0x5D0, 0x5EA)]), // Hebrew
        (48, [(0x620, 0x64A)]), // Arabic
        (49, [(0x904, 0x939)]), // Devanagari
        (50, [(0xE01, 0xE30)]), // Thai
        (51, [(0x3041, 0x3096)]), // Hiragana
        (52, [(0x30A1, 0x30FA)]), // Katakana
        (53, [(0x3400, 0x4DBF), (0x4E00, 0x9FFF)]), // Chinese
        (54, [(0xAC00, 0xD7A3)]), // Hangul
    ];

    /// <summary>Characters beyond ASCII, by group, as ranges of their bytes.</summary>
    public static IReadOnlyList<(ulong Group, List<(byte Low, byte High)[]> Sequences)> BeyondAscii { get; } = [.. Blocks.Select(block =>
    {
        List<(byte Low, byte High)[]> sequences = [];
        foreach ((int low, int high) in block.Ranges)
            Utf8Ranges.Split(low, high, sequences);
        return (1UL << block.Group, sequences);
    })];

    /// <summary>All groups of bytes from 0x80 to 0xF7, in whole characters or not.</summary>
    public static ulong AllBeyondAscii { get; } = BeyondAscii.Aggregate(1UL << Stray, (all, block) => all | block.Group);

    /// <summary>JSON string content without escapes.</summary>
    public static ulong Plain { get; } = Enumerable.Range(0x20, 0x60).Where(b => b is not ('"' or '\\')).Aggregate(AllBeyondAscii & ~(1UL << Stray), (all, b) => all | OfByte((byte)b));

    /// <summary>The group of an ASCII byte, or of one that UTF-8 does not use.</summary>
    public static ulong OfByte(byte b) => 1UL << b switch
    {
        >= (byte)'a' and <= (byte)'z' => 0,
        >= (byte)'A' and <= (byte)'Z' => 1,
        >= (byte)'0' and <= (byte)'9' => 2,
        (byte)'\n' => 3,
        (byte)'\t' => 4,
        (byte)'\r' => 5,
        < 0x20 => 6,
        >= 0xF8 => 7,
        >= 0x80 => Stray,
        // What is left of ASCII: space, punctuation and delete.
        < (byte)'0' => 12 + (b - ' '),
        < (byte)'A' => 28 + (b - ':'),
        < (byte)'a' => 35 + (b - '['),
        _ => 41 + (b - '{'),
    };

    /// <summary>By position, the groups of all that begins there or after. One entry more than there are bytes.</summary>
    public static ulong[] From(ReadOnlySpan<byte> bytes)
    {
        ulong[] from = new ulong[bytes.Length + 1];
        Span<(int Length, int Rune)> characters = new (int, int)[bytes.Length]; // where whole ones beyond ASCII begin
        for (int i = 0; i < bytes.Length; i++)
            if (bytes[i] >= 0x80 && Rune.DecodeFromUtf8(bytes[i..], out Rune rune, out int length) == System.Buffers.OperationStatus.Done)
            {
                characters[i] = (length, rune.Value);
                i += length - 1;
            }
        for (int i = bytes.Length - 1; i >= 0; i--)
        {
            (int length, int rune) = characters[i];
            from[i] = length > 0 ? OfCharacter(rune) | from[i + length] : OfByte(bytes[i]) | from[i + 1];
        }
        return from;
    }

    private static ulong OfCharacter(int rune)
    {
        for (int i = 1; i < Blocks.Length; i++)
            foreach ((int low, int high) in Blocks[i].Ranges)
                if (rune >= low && rune <= high)
                    return 1UL << Blocks[i].Group;
        return 1UL << Other;
    }
}
