// Byte-level BPE as llama.cpp's "gpt2" tokenizer with the "qwen2" split: single digits, a word with its space before it.
// Safe for several threads: all but the word cache is immutable, and that is concurrent.
using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace InferenceServer.Training.Tokenizer;

/// <summary>What a tokenizer file holds: merges in order of rank, each as two token texts in the byte alphabet.</summary>
public sealed record TokenizerFile(string[] Specials, string[] Tokens, string[][] Merges);

public sealed partial class BpeTokenizer
{
    /// <summary>Ends a document; also opens plain text.</summary>
    public const string EndOfText = "<|endoftext|>";

    /// <summary>Opens a message: its role and a line break follow.</summary>
    public const string MessageStart = "<|im_start|>";

    /// <summary>Closes a message: where generation stops.</summary>
    public const string MessageEnd = "<|im_end|>";

    private const int CachedWords = 200_000;

    private static readonly string[] ByteText = ByteAlphabet();
    private static readonly Dictionary<char, byte> TextByte =
        Enumerable.Range(0, 256).ToDictionary(b => ByteText[b][0], b => (byte)b);

    private readonly Dictionary<string, int> _ids;
    private readonly Dictionary<(int, int), (int Rank, int Id)> _merges = [];
    private readonly ConcurrentDictionary<string, int[]> _words = new(StringComparer.Ordinal);
    private readonly string[] _tokens;

    public BpeTokenizer(TokenizerFile file)
    {
        File = file;
        _tokens = [.. file.Tokens, .. file.Specials];
        _ids = _tokens.Select((t, i) => (t, i)).ToDictionary(p => p.t, p => p.i, StringComparer.Ordinal);
        for (int rank = 0; rank < file.Merges.Length; rank++)
        {
            string left = file.Merges[rank][0], right = file.Merges[rank][1];
            _merges.Add((Id(left), Id(right)), (rank, Id(left + right)));
        }

        EndOfTextId = Id(EndOfText);
        MessageStartId = Id(MessageStart);
        MessageEndId = Id(MessageEnd);
    }

    public TokenizerFile File { get; }

    public int VocabularySize => _tokens.Length;

    public int EndOfTextId { get; }

    public int MessageStartId { get; }

    public int MessageEndId { get; }

    public static BpeTokenizer Load(string path)
    {
        using FileStream stream = System.IO.File.OpenRead(path);
        TokenizerFile file = JsonSerializer.Deserialize(stream, TrainingJson.Default.TokenizerFile)
            ?? throw new InvalidDataException($"{path} holds no tokenizer.");
        return new BpeTokenizer(file);
    }

    public void Save(string path) =>
        System.IO.File.WriteAllBytes(path, JsonSerializer.SerializeToUtf8Bytes(File, TrainingJson.Default.TokenizerFile));

    /// <summary>Tokens of plain text; special tokens are never recognised in it.</summary>
    public List<int> Encode(string text)
    {
        List<int> ids = [];
        foreach (ValueMatch match in Split().EnumerateMatches(text))
        {
            string word = text.Substring(match.Index, match.Length);
            if (!_words.TryGetValue(word, out int[]? known))
            {
                known = EncodeWord(word);
                if (_words.Count < CachedWords)
                {
                    _words.TryAdd(word, known);
                }
            }

            ids.AddRange(known);
        }

        return ids;
    }

    /// <summary>Text of tokens; special tokens appear as their names. Broken UTF-8 becomes U+FFFD.</summary>
    public string Decode(IEnumerable<int> ids)
    {
        List<byte> bytes = [];
        foreach (int id in ids)
        {
            string token = _tokens[id];
            bytes.AddRange(id >= File.Tokens.Length ? Encoding.UTF8.GetBytes(token) : token.Select(c => TextByte[c]));
        }

        return Encoding.UTF8.GetString([.. bytes]);
    }

    internal static string ToByteText(string text) =>
        string.Concat(Encoding.UTF8.GetBytes(text).Select(b => ByteText[b]));

    internal static IEnumerable<string> Alphabet => ByteText;

    internal static Regex Splitter => Split();

    // llama.cpp: LLAMA_VOCAB_PRE_TYPE_QWEN2 in llama-vocab.cpp.
    [GeneratedRegex(@"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")]
    private static partial Regex Split();

    private int Id(string token) => _ids.TryGetValue(token, out int id)
        ? id
        : throw new InvalidDataException($"The tokenizer file lacks the token '{token}'.");

    private int[] EncodeWord(string word)
    {
        List<int> parts = [.. ToByteText(word).Select(c => _ids[c.ToString()])];
        while (parts.Count > 1)
        {
            int best = -1, bestRank = int.MaxValue, bestId = 0;
            for (int i = 0; i + 1 < parts.Count; i++)
            {
                if (_merges.TryGetValue((parts[i], parts[i + 1]), out (int Rank, int Id) merge) && merge.Rank < bestRank)
                {
                    (best, bestRank, bestId) = (i, merge.Rank, merge.Id);
                }
            }

            if (best < 0)
            {
                break;
            }

            parts[best] = bestId;
            parts.RemoveAt(best + 1);
        }

        return [.. parts];
    }

    // GPT-2's printable stand-ins: visible Latin-1 bytes are themselves, the others count up from U+0100.
    private static string[] ByteAlphabet()
    {
        var alphabet = new string[256];
        int next = 256;
        for (int b = 0; b < 256; b++)
        {
            bool visible = b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            alphabet[b] = ((char)(visible ? b : next++)).ToString();
        }

        return alphabet;
    }
}
