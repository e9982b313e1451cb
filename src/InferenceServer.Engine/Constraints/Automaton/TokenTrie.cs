// Tokens as a trie over their bytes, laid out in depth-first order so that a walk reads memory forwards and skips a subtree in one step.
// Immutable, shared by threads.

using System.Runtime.CompilerServices;

namespace InferenceServer.Engine.Constraints.Automaton;

/// <summary>Sorts bytes into 64 groups, so that a set of groups is one word: ASCII punctuation each on its own, letters and digits together.</summary>
internal static class ByteGroups
{
    public static ulong Of(byte b) => 1UL << IndexOf(b);

    /// <summary>The groups all of whose bytes satisfy the predicate.</summary>
    public static ulong Where(ReadOnlySpan<bool> bytes)
    {
        ulong groups = ulong.MaxValue;
        for (int b = 0; b < 256; b++)
            if (!bytes[b])
                groups &= ~(1UL << IndexOf((byte)b));
        return groups;
    }

    private static int IndexOf(byte b) => b switch
    {
        >= (byte)'a' and <= (byte)'z' => 0,
        >= (byte)'A' and <= (byte)'Z' => 1,
        >= (byte)'0' and <= (byte)'9' => 2,
        (byte)'\n' => 3,
        (byte)'\t' => 4,
        (byte)'\r' => 5,
        < 0x20 or 0x7F => 6,
        >= 0xF8 => 7,
        >= 0xF0 => 8,
        >= 0xE0 => 9,
        >= 0xC0 => 10,
        >= 0x80 => 11,
        // What is left are the 33 of ASCII: space and punctuation.
        < (byte)'0' => 12 + (b - ' '),
        < (byte)'A' => 28 + (b - ':'),
        < (byte)'a' => 35 + (b - '['),
        _ => 41 + (b - '{'),
    };
}

internal sealed class TokenTrie
{
    // Node i stands for one byte; its children follow it directly. The root is not stored.
    private readonly byte[] _label;
    private readonly ushort[] _depth;  // 1 for the first byte
    private readonly int[] _end;       // the node after the subtree
    private readonly ulong[] _below;   // the groups of all bytes below the node
    private readonly int[] _order;     // tokens by their bytes: those of a subtree are neighbours
    private readonly int[] _firstAt;   // by node, and one more: where its subtree's tokens begin in _order
    private readonly int[] _ownEndAt;  // by node: where the tokens that end at the node itself end in _order
    private readonly int _maxDepth;

    /// <param name="tokens">Tokens with their bytes, none empty.</param>
    public TokenTrie(IEnumerable<(int Token, byte[] Bytes)> tokens)
    {
        (int Token, byte[] Bytes)[] sorted = [.. tokens];
        Array.Sort(sorted, (a, b) => a.Bytes.AsSpan().SequenceCompareTo(b.Bytes) is not 0 and int order ? order : a.Token.CompareTo(b.Token));
        _order = [.. sorted.Select(t => t.Token)];
        List<byte> label = [];
        List<ushort> depth = [];
        List<int> end = [], firstAt = [], ownEndAt = [];
        Stack<int> open = [];
        byte[] previous = [];
        for (int at = 0; at < sorted.Length; at++)
        {
            byte[] bytes = sorted[at].Bytes;
            int common = previous.AsSpan().CommonPrefixLength(bytes);
            while (open.Count > common)
                end[open.Pop()] = label.Count;
            for (int i = common; i < bytes.Length; i++)
            {
                open.Push(label.Count);
                label.Add(bytes[i]);
                depth.Add(checked((ushort)(i + 1)));
                end.Add(0);
                firstAt.Add(at);
                ownEndAt.Add(at);
            }
            ownEndAt[^1] = at + 1; // the last node made is this token's, also for a second token of the same bytes
            previous = bytes;
            _maxDepth = Math.Max(_maxDepth, bytes.Length);
        }
        while (open.TryPop(out int node))
            end[node] = label.Count;
        firstAt.Add(sorted.Length);
        (_label, _depth, _end, _firstAt, _ownEndAt) = ([.. label], [.. depth], [.. end], [.. firstAt], [.. ownEndAt]);
        _below = GroupsBelow();
    }

    public long Bytes => (_label.LongLength * (sizeof(byte) + sizeof(ushort) + (3 * sizeof(int)) + sizeof(ulong))) + (_order.LongLength * sizeof(int));

    private ulong[] GroupsBelow()
    {
        ulong[] below = new ulong[_label.Length];
        // Children come after their parents, so a pass from the end meets every subtree complete.
        for (int node = _label.Length - 1; node >= 0; node--)
            for (int child = node + 1; child < _end[node]; child = _end[child])
                below[node] |= below[child] | ByteGroups.Of(_label[child]);
        return below;
    }

    /// <summary>Collects the tokens whose bytes the automaton can read from a configuration on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // the first request should not wait for the JIT to tier up
    public void CollectAllowed(ConfigurationCache cache, ReadOnlySpan<byte> classOf, Configuration start, TokenBuffer allowed)
    {
        byte[] label = _label;
        ushort[] depth = _depth;
        int[] end = _end;
        ulong[] below = _below;
        Configuration?[][] rows = new Configuration?[_maxDepth + 1][];
        rows[0] = cache.RowOf(start);
        for (int node = 0; node < label.Length;)
        {
            int level = depth[node];
            Configuration? next = rows[level - 1][classOf[label[node]]];
            if (next is null)
            {
                node = end[node];
                continue;
            }
            // Nothing below, or nothing below that would leave this configuration: the whole subtree is allowed.
            if ((below[node] & ~next.LoopingGroups) == 0)
            {
                allowed.AddRange(_order.AsSpan(_firstAt[node].._firstAt[end[node]]));
                node = end[node];
                continue;
            }
            allowed.AddRange(_order.AsSpan(_firstAt[node].._ownEndAt[node]));
            rows[level] = cache.RowOf(next);
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
            if (_ownEndAt[node] > _firstAt[node])
                (best, length) = (_order[_firstAt[node]], level);
            stop = _end[node];
            node++;
        }
        mayGoOn = level == text.Length && node < stop;
        return best;
    }
}

/// <summary>A growing list of tokens without bounds kept per element; one walk's scratch.</summary>
internal sealed class TokenBuffer(int capacity)
{
    private int[] _tokens = new int[capacity];
    private int _count;

    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, _count);

    public void AddRange(ReadOnlySpan<int> tokens)
    {
        if (_count + tokens.Length > _tokens.Length)
            Array.Resize(ref _tokens, Math.Max(2 * _tokens.Length, _count + tokens.Length));
        if (tokens.Length == 1)
            _tokens[_count] = tokens[0];
        else
            tokens.CopyTo(_tokens.AsSpan(_count));
        _count += tokens.Length;
    }
}
