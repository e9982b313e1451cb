// What the tests of this room share: a small vocabulary with awkward tokens, and ways to push text or chance through a constraint.

using System.Text;
using InferenceServer.Engine.Constraints;

namespace InferenceServer.Tests.Engine.Constraints;

internal static class ConstraintTesting
{
    public const int EndToken = 0;
    public const int ToolToken = 1;
    private const int FirstByteToken = 2;

    // Every byte is a token, as in real vocabularies; the others cross the borders of strings, numbers, keys and characters.
    private static readonly string[] Pieces = [
        "{\"", "\":", "\": ", "\": \"", "\",", "\", \"", "\"}", "\"]", "\"},", "}}", "]]", "}]", "},", "],", "},{", "{}", "[]", "[\"", "[[", "[{", "{\"a\":", "\n  ", "\n    ",
        " \"", ", ", "true", "false", "null", "tru", "nul", ":true", ":null", ",\"", "\":null", "10", "123", "00", "-1", ".5", "0.", "e1", "1e", "E+", "99", "2024", "-0",
        "\\n", "\\\"", "\\u00", "\\uD8", "\\ud83d\\ude00", "\\\\", "\\u", "name", "na", "me", "value", "kind", "left", "right", "items", "tag", "the ", " and", "hello", " world",
        "é", "ü", "日本", "日", "😀", "€", "aaaa", "bb", "ab", "abc", "xyz", "    ", "  ", "\t", "\n", "id", "foo", "bar", "baz", "red", "green", "blue", "@", ".com", "://", "http",
        "-02-", "T12", ":00", "Z", "::", "ffff", "<tool_call>", "</tool_call>", "<tool", "_call>", "\n</", "</", "arguments", "root", "node", "child", "children",
        // Longer than what bounds on lengths let masks take for granted.
        "aaaaaaaaaaaaaaaaaaaa", "hello hello hello hello ", "日本日本日本日本日本日", "\"aaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaa\"", "                                        "];

    // Halves of characters, as byte-level vocabularies have them.
    private static readonly byte[][] Fragments = [[0xE6, 0x97], [0xA5, 0x22], [0xF0, 0x9F], [0x98, 0x80], [0x22, 0xE6], [0xC3], [0xA9, 0x22, 0x2C]];

    public static byte[][] TokenBytes { get; } = MakeTokens();

    public static TokenVocabularyTrie Vocabulary { get; } = TokenVocabularyTrie.Build(
        [.. TokenBytes.Select(t => (ReadOnlyMemory<byte>)t)], [EndToken], new Dictionary<int, string> { [ToolToken] = "<|tool|>" });

    private static byte[][] MakeTokens()
    {
        List<byte[]> tokens = [[], []];
        for (int b = 0; b < 256; b++)
            tokens.Add([(byte)b]);
        tokens.AddRange(Pieces.Select(Encoding.UTF8.GetBytes));
        tokens.AddRange(Fragments);
        tokens.Add(Encoding.UTF8.GetBytes("hello")); // two tokens of the same bytes occur in real vocabularies
        return [.. tokens];
    }

    public static int TokenOf(string text) => Array.FindIndex(TokenBytes, t => t.AsSpan().SequenceEqual(Encoding.UTF8.GetBytes(text)));

    public static int TokenOfByte(byte value) => FirstByteToken + value;

    public static ConstraintState Start(CompiledConstraint constraint) => new(constraint, Vocabulary);

    /// <summary>The state past a text that the constraint accepts, byte by byte.</summary>
    public static ConstraintState After(CompiledConstraint constraint, string text)
    {
        ConstraintState state = Start(constraint);
        foreach (byte value in Encoding.UTF8.GetBytes(text))
            Assert.True(state.TryAccept(TokenOfByte(value)));
        return state;
    }

    /// <summary>Whether the constraint accepts the whole text, byte by byte.</summary>
    public static bool Accepts(CompiledConstraint constraint, string text)
    {
        ConstraintState state = Start(constraint);
        foreach (byte b in Encoding.UTF8.GetBytes(text))
            if (!state.TryAccept(FirstByteToken + b))
                return false;
        return state.IsComplete;
    }

    public static ulong[] MaskOf(ConstraintState state)
    {
        ulong[] words = new ulong[(Vocabulary.VocabularySize + 63) / 64];
        Array.Fill(words, ulong.MaxValue); // what a previous step left behind
        state.FillMask(words);
        return words;
    }

    public static List<int> AllowedTokens(ConstraintState state)
    {
        ulong[] words = MaskOf(state);
        return [.. Enumerable.Range(0, Vocabulary.VocabularySize).Where(t => (words[t >> 6] >> t & 1) != 0)];
    }

    /// <summary>Chooses among the allowed tokens until the end token; after some time rather those that close what is open.</summary>
    public static string RandomWalk(CompiledConstraint constraint, Random random, int patience = 60, int limit = 4000)
    {
        ConstraintState state = Start(constraint);
        List<byte> text = [];
        for (int step = 0; step < limit; step++)
        {
            List<int> allowed = AllowedTokens(state);
            if (allowed.Count == 0)
                throw new InvalidOperationException($"no token is allowed after {Encoding.UTF8.GetString([.. text])}");
            if (step > patience)
            {
                if (allowed.Contains(EndToken))
                    break;
                int quote = TokenOf("\"");
                if (allowed.Contains(quote) && random.Next(2) == 0)
                    allowed = [quote];
                List<int> closing = [.. allowed.Where(t => TokenBytes[t].Any(b => b is (byte)'"' or (byte)'}' or (byte)']'))];
                List<int> shortest = closing.FindAll(t => TokenBytes[t].Length == 1);
                allowed = random.Next(4) == 0 ? allowed : shortest.Count > 0 ? shortest : closing.Count > 0 ? closing : allowed;
            }
            int token = allowed[random.Next(allowed.Count)];
            if (!state.TryAccept(token))
                throw new InvalidOperationException($"the mask allows token {token} but it is refused after {Encoding.UTF8.GetString([.. text])}");
            if (token == EndToken)
                return Encoding.UTF8.GetString([.. text]);
            text.AddRange(TokenBytes[token]);
        }
        return state.IsComplete ? Encoding.UTF8.GetString([.. text]) : throw new InvalidOperationException($"does not end: {Encoding.UTF8.GetString([.. text.Take(300)])}");
    }
}
