// A model's vocabulary as constraints need it: tries over token bytes, bit sets of the tokens that are plain string content,
// and the budget of cached masks. Built once per model, shared by all its constraints and threads; only the budget changes, under its lock.
// Always holds: a token is in exactly one of: the plain sets (and no walk), the rest trie, or no set at all (empty, end or unnamed tokens).

using InferenceServer.Engine.Constraints.Automaton;

namespace InferenceServer.Engine.Constraints;

/// <summary>The vocabulary of one model, prepared for constraints. Safe to use from any thread.</summary>
public sealed class TokenVocabularyTrie
{
    /// <summary>Longer plain tokens (1% of Qwen2's) are walked with the rest, so that a string with room for this many needs no thought about its end.</summary>
    private const int MaxPlainCodePoints = 16;

    /// <summary>Counts with fewer repetitions to go are told apart: longer tokens, which need a walk of their own, would be too many.</summary>
    private const int LeastReach = 16;

    private readonly byte[] _paths;
    private readonly int[] _pathStarts;
    private readonly TokenTrie _all;
    private readonly TokenTrie _rest;
    private readonly ulong[][] _plainUpTo; // [n]: plain tokens of 1 to n code points
    private readonly int[] _tokensByLength; // that are walked, the shortest first
    private readonly HashSet<int> _endTokens;
    private readonly HashSet<string> _controlNames;
    private readonly Lock _gate = new();
    private readonly Queue<(WeakReference<Configuration> Owner, TokenSet Mask)> _masks = [];
    private readonly long _maskBudgetBytes;
    private long _maskBytes;

    private TokenVocabularyTrie(byte[][] paths, IReadOnlyCollection<int> endTokens, IEnumerable<string> controlNames, long maskBudgetBytes)
    {
        VocabularySize = paths.Length;
        _endTokens = [.. endTokens];
        _controlNames = [.. controlNames];
        _maskBudgetBytes = maskBudgetBytes;
        _pathStarts = new int[paths.Length + 1];
        for (int token = 0; token < paths.Length; token++)
            _pathStarts[token + 1] = _pathStarts[token] + paths[token].Length;
        _paths = [.. paths.SelectMany(p => p)];

        int[] plainLengths = [.. paths.Select(PlainCodePoints)];
        int longest = Math.Min(MaxPlainCodePoints, plainLengths.DefaultIfEmpty(0).Max());
        _plainUpTo = [.. Enumerable.Range(0, longest + 1).Select(_ => new ulong[WordCount])];
        for (int token = 0; token < paths.Length; token++)
            for (int n = plainLengths[token]; n > 0 && n <= longest; n++)
                _plainUpTo[n][token >> 6] |= 1UL << token;
        // Lists, no queries: those leave their buffers in a pool for good, 2.5 MB of 152k tokens.
        List<(int Token, byte[] Path)> walked = new(paths.Length);
        for (int token = 0; token < paths.Length; token++)
            if (paths[token].Length > 0)
                walked.Add((token, paths[token]));
        _tokensByLength = [.. walked.OrderBy(w => w.Path.Length).Select(w => w.Token)];
        _all = new(walked);
        _rest = new(walked.FindAll(w => plainLengths[w.Token] is 0 or > MaxPlainCodePoints));
    }

    public int VocabularySize { get; }

    /// <summary>Memory of the tries and the shared bit sets; masks come on top, up to the budget.</summary>
    public long Bytes => _paths.Length + (4L * _pathStarts.Length) + (4L * _tokensByLength.Length) + _all.Bytes + _rest.Bytes + ((long)_plainUpTo.Length * WordCount * sizeof(ulong));

    /// <summary>Memory of the masks cached at the moment.</summary>
    public long CachedMaskBytes => Volatile.Read(ref _maskBytes);

    internal int WordCount => (VocabularySize + 63) / 64;

    internal IReadOnlySet<int> EndTokens => _endTokens;

    /// <summary>Prepares a vocabulary.</summary>
    /// <param name="tokenBytes">The text of each token in bytes, index by id; empty for tokens without text.</param>
    /// <param name="endTokens">End-of-generation tokens: allowed only where a constraint is complete.</param>
    /// <param name="controlTokens">
    /// Control tokens by id with their names such as <c>&lt;|channel|&gt;</c>: no text spells them, only parts that name them allow them.
    /// </param>
    /// <param name="maskBudgetBytes">Most memory for cached masks of all constraints together.</param>
    public static TokenVocabularyTrie Build(
        IReadOnlyList<ReadOnlyMemory<byte>> tokenBytes, IReadOnlyCollection<int> endTokens,
        IReadOnlyDictionary<int, string> controlTokens, long maskBudgetBytes = 48L << 20)
    {
        byte[][] paths = new byte[tokenBytes.Count][];
        HashSet<int> ends = [.. endTokens];
        for (int token = 0; token < paths.Length; token++)
        {
            ReadOnlySpan<byte> bytes = tokenBytes[token].Span;
            if (ends.Contains(token))
                paths[token] = [];
            else if (controlTokens.TryGetValue(token, out string? name))
                paths[token] = ControlTokenBytes.Of(name);
            else
                // 0xFE and 0xFF occur in no UTF-8; the automaton uses them to mark control tokens.
                paths[token] = bytes.IndexOfAnyInRange(ControlTokenBytes.Close, ControlTokenBytes.Open) >= 0 ? [] : bytes.ToArray();
        }
        return new(paths, endTokens, controlTokens.Where(pair => !ends.Contains(pair.Key)).Select(pair => pair.Value), maskBudgetBytes);
    }

    /// <summary>The bytes through which the automaton reads a token; empty for tokens that it never reads.</summary>
    internal ReadOnlySpan<byte> PathOf(int token) => _paths.AsSpan(_pathStarts[token].._pathStarts[token + 1]);

    internal bool HasControlToken(string name) => _controlNames.Contains(name);

    internal int LongestPrefix(ReadOnlySpan<byte> text, out int length, out bool mayGoOn) => _all.LongestPrefix(text, out length, out mayGoOn);

    /// <summary>The tokens that a configuration allows, end tokens aside; computed at most once while the budget keeps it.</summary>
    internal TokenSet MaskOf(ConfigurationCache cache, ReadOnlySpan<byte> classOf, Configuration configuration)
    {
        if (configuration.Mask is { } known && ReferenceEquals(known.Vocabulary, this))
        {
            known.Used = true;
            return known;
        }
        if (cache.FarFromBounds(configuration, LeastReach, out int reach) is var far && !ReferenceEquals(far, configuration))
            return MaskNear(cache, classOf, configuration, MaskOf(cache, classOf, far), reach);
        ulong[] allowed = new ulong[WordCount];
        ulong[]? shared = PlainTokensFor(cache, configuration);
        int count = (shared is null ? _all : _rest).CollectAllowed(cache, classOf, configuration, allowed);
        TokenSet mask = TokenSet.Create(this, shared, allowed, count);
        Keep(configuration, mask);
        return mask;
    }

    /// <summary>The mask of a configuration by that of a simpler one, which is right for tokens of up to <paramref name="reach"/> bytes.</summary>
    private TokenSet MaskNear(ConfigurationCache cache, ReadOnlySpan<byte> classOf, Configuration configuration, TokenSet simpler, int reach)
    {
        int longer = _tokensByLength.Length - CountUpTo(reach);
        if (longer == 0)
            return simpler;
        ulong[] allowed = new ulong[WordCount];
        simpler.CopyTo(allowed);
        foreach (int token in _tokensByLength.AsSpan(^longer..))
            allowed[token >> 6] &= ~(1UL << token);
        _all.CollectAllowed(cache, classOf, configuration, allowed, longerThan: reach);
        TokenSet mask = TokenSet.Create(this, null, allowed, VocabularySize);
        Keep(configuration, mask);
        return mask;
    }

    /// <summary>Tokens of at most so many bytes.</summary>
    private int CountUpTo(int length)
    {
        int low = 0, high = _tokensByLength.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = PathOf(_tokensByLength[middle]).Length <= length ? (middle + 1, high) : (low, middle);
        }
        return low;
    }

    /// <summary>The plain tokens that are allowed whatever follows the string; null where a walk must decide.</summary>
    private ulong[]? PlainTokensFor(ConfigurationCache cache, Configuration configuration)
    {
        int longest = _plainUpTo.Length - 1;
        if (longest <= 0)
            return null;
        if (configuration.PlainTextCapacity <= 0)
            return TextFlows.StaysOnPlainText(cache, configuration) ? _plainUpTo[longest] : null;
        if (configuration.PlainTextCapacity >= longest)
            return _plainUpTo[longest];
        return configuration.IsPlainTextOnly ? _plainUpTo[configuration.PlainTextCapacity] : null;
    }

    private void Keep(Configuration configuration, TokenSet mask)
    {
        lock (_gate)
        {
            configuration.Mask = mask;
            _masks.Enqueue((new(configuration), mask));
            Volatile.Write(ref _maskBytes, _maskBytes + mask.Bytes);
            while (_maskBytes > _maskBudgetBytes && _masks.TryDequeue(out var oldest))
            {
                bool alive = oldest.Owner.TryGetTarget(out Configuration? owner) && ReferenceEquals(owner.Mask, oldest.Mask);
                if (alive && oldest.Mask.Used && !ReferenceEquals(oldest.Mask, mask))
                {
                    oldest.Mask.Used = false;
                    _masks.Enqueue(oldest);
                    continue;
                }
                if (alive)
                    owner!.Mask = null;
                Volatile.Write(ref _maskBytes, _maskBytes - oldest.Mask.Bytes);
            }
        }
    }

    /// <summary>Code points of a token that is plain JSON string content in whole characters; 0 for all others.</summary>
    private static int PlainCodePoints(byte[] bytes) => JsonSpelling.PlainFrom(bytes)[0] ? bytes.Count(b => (b & 0xC0) != 0x80) : 0;
}
