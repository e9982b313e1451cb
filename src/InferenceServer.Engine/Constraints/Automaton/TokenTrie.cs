// Tokens as a trie over their bytes, laid out in depth-first order so that a walk reads memory forwards and skips a subtree in one step.
// Immutable, shared by threads.

namespace InferenceServer.Engine.Constraints.Automaton;

internal sealed class TokenTrie
{
    // Node i stands for one byte; its children follow it directly. The root is not stored.
    private readonly byte[] _label;
    private readonly ushort[] _depth; // 1 for the first byte
    private readonly int[] _end;      // the node after the subtree
    private readonly int[] _token;    // the token that ends here, or -1
    private readonly int[]? _twin;    // by token: the next token of the same bytes, or -1; null when there are none
    private readonly int _maxDepth;

    /// <param name="tokens">Tokens with their bytes, none empty.</param>
    /// <param name="vocabularySize">More than any token.</param>
    public TokenTrie(IEnumerable<(int Token, byte[] Bytes)> tokens, int vocabularySize)
    {
        (int Token, byte[] Bytes)[] sorted = [.. tokens];
        Array.Sort(sorted, (a, b) => a.Bytes.AsSpan().SequenceCompareTo(b.Bytes) is not 0 and int order ? order : a.Token.CompareTo(b.Token));
        List<byte> label = [];
        List<ushort> depth = [];
        List<int> token = [];
        List<int> end = [];
        Stack<int> open = [];
        byte[] previous = [];
        foreach ((int id, byte[] bytes) in sorted)
        {
            int common = previous.AsSpan().CommonPrefixLength(bytes);
            if (common == bytes.Length)
            {
                if (_twin is null)
                    Array.Fill(_twin = new int[vocabularySize], -1);
                int last = token[^1];
                while (_twin[last] >= 0)
                    last = _twin[last];
                _twin[last] = id;
                continue;
            }
            while (open.Count > common)
                end[open.Pop()] = label.Count;
            for (int i = common; i < bytes.Length; i++)
            {
                open.Push(label.Count);
                label.Add(bytes[i]);
                depth.Add((ushort)(i + 1));
                token.Add(-1);
                end.Add(0);
            }
            token[^1] = id;
            previous = bytes;
            _maxDepth = Math.Max(_maxDepth, bytes.Length);
        }
        while (open.TryPop(out int node))
            end[node] = label.Count;
        (_label, _depth, _token, _end) = ([.. label], [.. depth], [.. token], [.. end]);
    }

    public long Bytes => (_label.LongLength * (sizeof(byte) + sizeof(ushort) + (2 * sizeof(int)))) + ((_twin?.LongLength ?? 0) * sizeof(int));

    /// <summary>Collects the tokens whose bytes the automaton can read from a configuration on.</summary>
    public void CollectAllowed(ConfigurationCache cache, ReadOnlySpan<byte> classOf, Configuration start, TokenBuffer allowed)
    {
        byte[] label = _label;
        ushort[] depth = _depth;
        int[] end = _end, token = _token;
        Configuration[] path = new Configuration[_maxDepth + 1];
        path[0] = start;
        for (int node = 0; node < label.Length;)
        {
            int level = depth[node];
            Configuration at = path[level - 1];
            Configuration? next = (at.Row ?? cache.RowOf(at))[classOf[label[node]]];
            if (next is null)
            {
                node = end[node];
                continue;
            }
            path[level] = next;
            if (token[node] >= 0)
                Add(token[node], allowed);
            node++;
        }
    }

    /// <summary>The longest token that <paramref name="text"/> begins with; -1 when there is none.</summary>
    /// <param name="text">What to spell.</param>
    /// <param name="length">The token's length in bytes.</param>
    /// <param name="mayGoOn">Whether some longer token begins with the whole of the text.</param>
    public int LongestPrefix(ReadOnlySpan<byte> text, out int length, out bool mayGoOn)
    {
        int best = -1, level = 0, node = 0, stop = _label.Length;
        length = 0;
        while (level < text.Length && node < stop)
        {
            if (_label[node] != text[level])
            {
                node = _end[node];
                continue;
            }
            level++;
            if (_token[node] >= 0)
                (best, length) = (_token[node], level);
            stop = _end[node];
            node++;
        }
        mayGoOn = level == text.Length && node < stop;
        return best;
    }

    private void Add(int token, TokenBuffer allowed)
    {
        allowed.Add(token);
        for (int twin = _twin is null ? -1 : _twin[token]; twin >= 0; twin = _twin![twin])
            allowed.Add(twin);
    }
}

/// <summary>A growing list of tokens without bounds kept per element; one walk's scratch.</summary>
internal sealed class TokenBuffer(int capacity)
{
    private int[] _tokens = new int[capacity];
    private int _count;

    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, _count);

    public void Add(int token)
    {
        if (_count == _tokens.Length)
            Array.Resize(ref _tokens, 2 * _count);
        _tokens[_count++] = token;
    }
}
