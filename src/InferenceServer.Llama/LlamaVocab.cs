// A model's tokens: text to tokens through llama.cpp, tokens to bytes from one managed table built at load. Immutable; safe to use from any thread.
using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text;

using InferenceServer.Llama.Native;

using LLama.Native;

namespace InferenceServer.Llama;

/// <summary>The vocabulary of a loaded model.</summary>
public sealed class LlamaVocab
{
    /// <summary>Longest text that is tokenized in one call, in bytes; far above any context length.</summary>
    public const int MaxTextBytes = 64 << 20;

    private readonly SafeLlamaModelHandle _model; // Keeps the native vocabulary alive.
    private readonly nint _vocab;
    private readonly byte[] _bytes;
    private readonly int[] _offsets;
    private readonly TokenFlags[] _flags;

    internal LlamaVocab(SafeLlamaModelHandle model)
    {
        _model = model;
        _vocab = LlamaNative.llama_model_get_vocab(model);
        SafeLlamaModelHandle.Vocabulary vocab = model.Vocab;
        Count = vocab.Count;
        Bos = Id(vocab.BOS);
        Eos = Id(vocab.EOS);
        Eot = Id(vocab.EOT);
        Separator = Id(vocab.SEP);
        Newline = Id(vocab.Newline);
        Padding = Id(vocab.Pad);
        FimPre = Id(vocab.InfillPrefix);
        FimSuf = Id(vocab.InfillSuffix);
        FimMid = Id(vocab.InfillMiddle);
        AddBos = vocab.ShouldAddBOS;
        AddEos = vocab.ShouldAddEOS;
        AddSeparator = LlamaNative.llama_vocab_get_add_sep(_vocab) != 0;
        HasTokenizer = vocab.Type is not LLamaVocabType.None;
        (_bytes, _offsets, _flags) = BuildTable(model, Count, HasTokenizer);
    }

    [Flags]
    private enum TokenFlags : byte
    {
        None = 0,
        Hidden = 1,
        Control = 2,
        EndOfGeneration = 4,
    }

    /// <summary>Number of tokens; ids run from 0 to one less.</summary>
    public int Count { get; }

    /// <summary>False for models that carry no tokenizer; then nothing can be tokenized.</summary>
    public bool HasTokenizer { get; }

    /// <summary>Beginning of a text.</summary>
    public int? Bos { get; }

    /// <summary>End of a text.</summary>
    public int? Eos { get; }

    /// <summary>End of a turn.</summary>
    public int? Eot { get; }

    /// <summary>Between two sentences.</summary>
    public int? Separator { get; }

    /// <summary>A line break.</summary>
    public int? Newline { get; }

    /// <summary>Padding.</summary>
    public int? Padding { get; }

    /// <summary>Before the prefix, when filling in the middle.</summary>
    public int? FimPre { get; }

    /// <summary>Before the suffix, when filling in the middle.</summary>
    public int? FimSuf { get; }

    /// <summary>Before the middle, when filling in the middle.</summary>
    public int? FimMid { get; }

    /// <summary>Whether texts start with <see cref="Bos"/>.</summary>
    public bool AddBos { get; }

    /// <summary>Whether texts end with <see cref="Eos"/>.</summary>
    public bool AddEos { get; }

    /// <summary>Whether texts end with <see cref="Separator"/>, or are kept apart by it.</summary>
    public bool AddSeparator { get; }

    /// <summary>Whether the token ends a reply.</summary>
    public bool IsEndOfGeneration(int token) => (_flags[Checked(token)] & TokenFlags.EndOfGeneration) != 0;

    /// <summary>Whether the token is a control token, which a user's text must not produce.</summary>
    public bool IsControl(int token) => (_flags[Checked(token)] & TokenFlags.Control) != 0;

    /// <summary>The token's bytes, which need not be whole characters; empty for control and unknown tokens. Allocates nothing.</summary>
    public ReadOnlySpan<byte> TokenBytes(int token) => TokenBytes(token, special: false);

    /// <summary>The token's bytes; <paramref name="special"/> gives control tokens by their name, such as <c>&lt;|im_end|&gt;</c>.</summary>
    public ReadOnlySpan<byte> TokenBytes(int token, bool special)
    {
        Checked(token);
        if (!special && (_flags[token] & TokenFlags.Hidden) != 0)
            return default;
        int start = _offsets[token];
        return _bytes.AsSpan(start, _offsets[token + 1] - start);
    }

    /// <summary>Joins the tokens' bytes.</summary>
    public byte[] DetokenizeBytes(ReadOnlySpan<int> tokens, bool special)
    {
        int length = 0;
        foreach (int token in tokens)
            length += TokenBytes(token, special).Length;
        byte[] bytes = new byte[length];
        int end = 0;
        foreach (int token in tokens)
        {
            ReadOnlySpan<byte> piece = TokenBytes(token, special);
            piece.CopyTo(bytes.AsSpan(end));
            end += piece.Length;
        }

        return bytes;
    }

    /// <summary>Joins the tokens' bytes as text; bytes that are no character become U+FFFD.</summary>
    public string Detokenize(ReadOnlySpan<int> tokens, bool special) => Encoding.UTF8.GetString(DetokenizeBytes(tokens, special));

    /// <summary>The token whose bytes are exactly <paramref name="text"/>, control tokens first; null when there is none.</summary>
    public int? FindToken(string text)
    {
        ArgumentException.ThrowIfNullOrEmpty(text);
        byte[] wanted = Encoding.UTF8.GetBytes(text);
        int? found = null;
        for (int token = 0; token < Count; token++)
        {
            if (!TokenBytes(token, special: true).SequenceEqual(wanted))
                continue;
            if (IsControl(token))
                return token;
            found ??= token;
        }

        return found;
    }

    /// <summary>Splits a text into tokens.</summary>
    /// <param name="text">Any text; lone surrogates become U+FFFD.</param>
    /// <param name="addSpecial">Add <see cref="Bos"/> and <see cref="Eos"/> where the model wants them.</param>
    /// <param name="parseSpecial">Read control tokens written out in the text as such. Never for a user's own words.</param>
    /// <exception cref="ArgumentException">The text is longer than <see cref="MaxTextBytes"/>.</exception>
    public int[] Tokenize(string text, bool addSpecial, bool parseSpecial)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.Length > MaxTextBytes)
            throw new ArgumentException($"the text has {text.Length} characters, more than {MaxTextBytes}", nameof(text));
        byte[] utf8 = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(text.Length));
        try
        {
            return Tokenize(utf8.AsSpan(0, Encoding.UTF8.GetBytes(text, utf8)), addSpecial, parseSpecial);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(utf8);
        }
    }

    /// <summary>Splits a UTF-8 text into tokens; see the overload for strings.</summary>
    public unsafe int[] Tokenize(ReadOnlySpan<byte> utf8, bool addSpecial, bool parseSpecial)
    {
        if (utf8.Length > MaxTextBytes)
            throw new ArgumentException($"the text has {utf8.Length} bytes, more than {MaxTextBytes}", nameof(utf8));
        if (!HasTokenizer)
            throw new LlamaException("the model carries no tokenizer: send tokens, or choose another --model");

        // No tokenizer makes more tokens than bytes, but for the special ones at both ends and a leading space.
        int[] tokens = ArrayPool<int>.Shared.Rent(utf8.Length + 8);
        try
        {
            int count = Tokenize(utf8, tokens, addSpecial, parseSpecial);
            if (count < 0 && count != int.MinValue)
            {
                ArrayPool<int>.Shared.Return(tokens);
                tokens = ArrayPool<int>.Shared.Rent(-count);
                count = Tokenize(utf8, tokens, addSpecial, parseSpecial);
            }

            return count >= 0 ? tokens.AsSpan(0, count).ToArray() : throw new LlamaException("llama.cpp could not tokenize the text");
        }
        finally
        {
            ArrayPool<int>.Shared.Return(tokens);
        }
    }

    private unsafe int Tokenize(ReadOnlySpan<byte> utf8, int[] tokens, bool addSpecial, bool parseSpecial)
    {
        bool added = false;
        _model.DangerousAddRef(ref added); // Throws when the model was disposed; keeps it from being freed during the call.
        try
        {
            byte none = 0;
            fixed (byte* text = utf8)
            fixed (int* room = tokens)
            {
                // llama.cpp asserts that the special tokens it is told to add exist.
                bool canAdd = (!AddBos || Bos is not null) && (!AddEos || Eos is not null);
                return LlamaNative.llama_tokenize(
                    _vocab, text == null ? &none : text, utf8.Length, room, tokens.Length, addSpecial && canAdd ? (byte)1 : (byte)0, parseSpecial ? (byte)1 : (byte)0);
            }
        }
        finally
        {
            _model.DangerousRelease();
        }
    }

    private static (byte[] Bytes, int[] Offsets, TokenFlags[] Flags) BuildTable(SafeLlamaModelHandle model, int count, bool hasTokenizer)
    {
        var offsets = new int[count + 1];
        var flags = new TokenFlags[count];
        var bytes = new ArrayBufferWriter<byte>(Math.Max(16, count * 8));
        for (int id = 0; id < count && hasTokenizer; id++)
        {
            LLamaToken token = id;
            offsets[id] = bytes.WrittenCount;
            LLamaTokenAttr attributes = token.GetAttributes(model);
            flags[id] = ((attributes & (LLamaTokenAttr.Unknown | LLamaTokenAttr.Control)) != 0 ? TokenFlags.Hidden : 0)
                | ((attributes & LLamaTokenAttr.Control) != 0 ? TokenFlags.Control : 0)
                | (token.IsEndOfGeneration(model) ? TokenFlags.EndOfGeneration : 0);
            Span<byte> room = bytes.GetSpan(64);
            int length = (int)model.TokenToSpan(token, room, special: true);
            if (length > room.Length)
                length = (int)model.TokenToSpan(token, bytes.GetSpan(length), special: true);
            bytes.Advance(length);
        }

        offsets[count] = bytes.WrittenCount;
        return (bytes.WrittenSpan.ToArray(), offsets, flags);
    }

    private static int? Id(LLamaToken? token) => (int?)token;

    private int Checked(int token)
    {
        if ((uint)token >= (uint)Count)
            ThrowUnknownToken(token);
        return token;
    }

    [DoesNotReturn]
    private void ThrowUnknownToken(int token) =>
        throw new ArgumentOutOfRangeException(nameof(token), token, $"the vocabulary has tokens 0 to {Count - 1}");
}
