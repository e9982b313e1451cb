// A set of allowed tokens as it is cached: a shared base (all plain-text tokens up to a length) and a few tokens more, or a bit set.
// Immutable but for the mark that it was used.

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
    /// <param name="tokens">The other allowed tokens.</param>
    /// <param name="words">Length of a bit set over the vocabulary.</param>
    public static TokenSet Create(TokenVocabularyTrie vocabulary, ulong[]? shared, ReadOnlySpan<int> tokens, int words)
    {
        // Past a quarter of the bit set's size, setting bits one by one costs more than copying.
        if (tokens.Length * sizeof(int) <= words * sizeof(ulong) / 4)
            return new(vocabulary, shared, tokens.ToArray(), ownsBase: false);
        ulong[] dense = new ulong[words];
        shared?.CopyTo(dense, 0);
        foreach (int token in tokens)
            dense[token >> 6] |= 1UL << token;
        return new(vocabulary, dense, [], ownsBase: true);
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
