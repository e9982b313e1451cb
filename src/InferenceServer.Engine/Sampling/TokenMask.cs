// Which tokens a constraint lets through: one bit a token. Owned by one sequence's constraint and read by the thread that samples that sequence;
// bits beyond the vocabulary are always zero, so counting and intersecting need no special last word.

using System.Numerics;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace InferenceServer.Engine.Sampling;

/// <summary>A bit set over the vocabulary. A new mask allows nothing.</summary>
public sealed class TokenMask
{
    private const int WordBits = 64;
    private static readonly Vector512<int> LaneBits = Vector512.Create(
        1, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15);

    private readonly ulong[] _words;

    /// <param name="vocabularySize">Tokens in the vocabulary, at least 1.</param>
    public TokenMask(int vocabularySize)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(vocabularySize);
        VocabularySize = vocabularySize;
        _words = new ulong[(vocabularySize + WordBits - 1) / WordBits];
    }

    public int VocabularySize { get; }

    /// <summary>Bit t % 64 of word t / 64 is set when token t is allowed.</summary>
    public ReadOnlySpan<ulong> Words => _words;

    /// <summary>For constraints, which copy whole sets in; bits beyond the vocabulary must stay zero.</summary>
    internal Span<ulong> WritableWords => _words;

    /// <summary>How many tokens are allowed. Counted on each call: under a microsecond for 152k tokens.</summary>
    public int Count
    {
        get
        {
            int count = 0;
            foreach (ulong word in _words)
                count += BitOperations.PopCount(word);
            return count;
        }
    }

    /// <summary>The lowest allowed token, or null when nothing is allowed.</summary>
    public int? FirstAllowed
    {
        get
        {
            int word = _words.AsSpan().IndexOfAnyExcept(0UL);
            return word < 0 ? null : word * WordBits + BitOperations.TrailingZeroCount(_words[word]);
        }
    }

    public void Allow(int token)
    {
        CheckToken(token);
        _words[token / WordBits] |= 1UL << (token % WordBits);
    }

    public void Forbid(int token)
    {
        CheckToken(token);
        _words[token / WordBits] &= ~(1UL << (token % WordBits));
    }

    public bool IsAllowed(int token)
    {
        CheckToken(token);
        return (_words[token / WordBits] >> (token % WordBits) & 1) != 0;
    }

    /// <summary>Allows nothing.</summary>
    public void ClearAll() => Array.Clear(_words);

    /// <summary>Allows every token.</summary>
    public void SetAll()
    {
        Array.Fill(_words, ulong.MaxValue);
        int used = VocabularySize % WordBits;
        if (used != 0)
            _words[^1] = (1UL << used) - 1;
    }

    /// <summary>Keeps only what <paramref name="other"/> allows too.</summary>
    public void And(TokenMask other)
    {
        CheckSameVocabulary(other);
        TensorPrimitives.BitwiseAnd<ulong>(_words, other._words, _words);
    }

    /// <summary>Adds what <paramref name="other"/> allows.</summary>
    public void Or(TokenMask other)
    {
        CheckSameVocabulary(other);
        TensorPrimitives.BitwiseOr<ulong>(_words, other._words, _words);
    }

    public void CopyFrom(TokenMask other)
    {
        CheckSameVocabulary(other);
        other._words.CopyTo(_words, 0);
    }

    /// <summary>Sets the logit of every forbidden token to negative infinity.</summary>
    /// <param name="logits">One logit a token of the vocabulary.</param>
    public void Apply(Span<float> logits)
    {
        if (logits.Length != VocabularySize)
            throw new ArgumentException($"The mask is over {VocabularySize} tokens, the row has {logits.Length} logits.", nameof(logits));

        int fullWords = VocabularySize / WordBits;
        for (int word = 0; word < fullWords; word++)
        {
            ulong allowed = _words[word];
            if (allowed == ulong.MaxValue)
                continue;
            Span<float> part = logits.Slice(word * WordBits, WordBits);
            if (allowed == 0)
                part.Fill(float.NegativeInfinity);
            else
                ApplyWord(allowed, part);
        }
        for (int token = fullWords * WordBits; token < VocabularySize; token++)
        {
            if (!IsAllowed(token))
                logits[token] = float.NegativeInfinity;
        }
    }

    private static void ApplyWord(ulong allowed, Span<float> part)
    {
        Span<Vector512<float>> lanes = MemoryMarshal.Cast<float, Vector512<float>>(part);
        for (int i = 0; i < lanes.Length; i++)
        {
            Vector512<int> bits = Vector512.Create((int)(allowed >> (i * Vector512<float>.Count))) & LaneBits;
            Vector512<float> keep = Vector512.Equals(bits, LaneBits).AsSingle();
            lanes[i] = Vector512.ConditionalSelect(keep, lanes[i], Vector512.Create(float.NegativeInfinity));
        }
    }

    private void CheckToken(int token)
    {
        if ((uint)token >= (uint)VocabularySize)
            throw new ArgumentOutOfRangeException(nameof(token), token, $"The vocabulary has {VocabularySize} tokens.");
    }

    private void CheckSameVocabulary(TokenMask other)
    {
        if (other.VocabularySize != VocabularySize)
            throw new ArgumentException($"Masks over {VocabularySize} and {other.VocabularySize} tokens do not combine.", nameof(other));
    }
}
