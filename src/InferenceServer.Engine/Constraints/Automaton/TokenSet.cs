// A set of allowed tokens as it is cached: a shared base (all plain-text tokens up to a length) and a few tokens more, or a bit set.
// Immutable but for the mark that it was used.

using System.Numerics;
using System.Numerics.Tensors;

namespace InferenceServer.Engine.Constraints.Automaton;

internal sealed class TokenSet
{
    private readonly ulong[]? _base;
    private readonly int[] _tokens = [];

    private TokenSet(TokenVocabularyTrie vocabulary, ulong[]? baseWords, int[] tokens, bool ownsBase)
    {
        Vocabulary = vocabulary;
        _base = baseWords;
        _tokens = tokens;
        Bytes = 64 + (tokens.Length * sizeof(int)) + (ownsBase ? baseWords!.Length * sizeof(ulong) : 0);
    }

    public TokenVocabularyTrie Vocabulary { get; }

    /// <summary>Memory that this set alone holds.</summary>
    public int Bytes { get; }

    /// <summary>Set when the mask is read, cleared when the budget passes over it: recently used masks stay.</summary>
    public bool Used { get; set; } = true;

    /// <param name="vocabulary">Whose tokens.</param>
    /// <param name="shared">Allowed tokens that a shared bit set already holds; null for none.</param>
    /// <param name="others">The other allowed tokens, as a bit set that this set may keep.</param>
    /// <param name="count">How many those are.</param>
    public static TokenSet Create(TokenVocabularyTrie vocabulary, ulong[]? shared, ulong[] others, int count)
    {
        // Past a quarter of the bit set's size, setting bits one by one costs more than copying.
        if (count * sizeof(int) > others.Length * sizeof(ulong) / 4)
        {
            if (shared is not null)
                TensorPrimitives.BitwiseOr<ulong>(others, shared, others);
            return new(vocabulary, others, [], ownsBase: true);
        }
        int[] tokens = new int[count];
        int next = 0;
        for (int word = 0; word < others.Length; word++)
            for (ulong bits = others[word]; bits != 0; bits &= bits - 1)
                tokens[next++] = (word << 6) + BitOperations.TrailingZeroCount(bits);
        return new(vocabulary, shared, tokens, ownsBase: false);
    }

    /// <summary>Overwrites the words with this set.</summary>
    public void CopyTo(Span<ulong> words)
    {
        if (_base is null)
            words.Clear();
        else
            _base.CopyTo(words);
        foreach (int token in _tokens)
            words[token >> 6] |= 1UL << token;
    }
}
