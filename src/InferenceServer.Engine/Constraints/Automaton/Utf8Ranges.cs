// A range of code points as sequences of byte ranges: what a byte automaton needs to read one character.

namespace InferenceServer.Engine.Constraints.Automaton;

internal static class Utf8Ranges
{
    private static readonly int[] LastOfLength = [0x7F, 0x7FF, 0xFFFF, 0x10FFFF];

    /// <summary>Adds the sequences that together spell the code points <paramref name="low"/> to <paramref name="high"/>, which hold no surrogates.</summary>
    public static void Split(int low, int high, List<(byte Low, byte High)[]> sequences)
    {
        if (low > high)
            return;
        foreach (int last in LastOfLength)
            if (low <= last && last < high)
            {
                Split(low, last, sequences);
                Split(last + 1, high, sequences);
                return;
            }
        int length = LengthOf(high);
        // Continuation bytes must run over their whole range wherever an earlier byte differs.
        for (int tail = 1; tail < length; tail++)
        {
            int mask = (1 << (6 * tail)) - 1;
            if ((low & ~mask) == (high & ~mask))
                break;
            if ((low & mask) != 0)
            {
                Split(low, low | mask, sequences);
                Split((low | mask) + 1, high, sequences);
                return;
            }
            if ((high & mask) != mask)
            {
                Split(low, (high & ~mask) - 1, sequences);
                Split(high & ~mask, high, sequences);
                return;
            }
        }
        (byte, byte)[] sequence = new (byte, byte)[length];
        for (int i = 0; i < length; i++)
            sequence[i] = (ByteAt(low, length, i), ByteAt(high, length, i));
        sequences.Add(sequence);
    }

    private static int LengthOf(int codePoint) => codePoint <= 0x7F ? 1 : codePoint <= 0x7FF ? 2 : codePoint <= 0xFFFF ? 3 : 4;

    private static byte ByteAt(int codePoint, int length, int index)
    {
        int bits = codePoint >> (6 * (length - 1 - index));
        if (index > 0)
            return (byte)(0x80 | (bits & 0x3F));
        return (byte)(length switch
        {
            1 => bits,
            2 => 0xC0 | bits,
            3 => 0xE0 | bits,
            _ => 0xF0 | bits,
        });
    }
}
