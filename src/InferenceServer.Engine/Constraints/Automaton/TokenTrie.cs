// Tokens as a trie over their bytes, laid out in depth-first order so that a walk reads memory forwards and skips a subtree in one step.
// Immutable, shared by threads.

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace InferenceServer.Engine.Constraints.Automaton;

internal sealed class TokenTrie
{
    /// <summary>One byte of one or more tokens. Its children follow it directly; the root is not stored. 32 bytes: two nodes a cache line.</summary>
    private struct Node
    {
        /// <summary>The groups of all characters that begin here or below.</summary>
        public ulong Groups;

        /// <summary>The node after the subtree.</summary>
        public int End;

        /// <summary>Where the subtree's tokens begin in the order, and where those that end at this very node end.</summary>
        public int FirstAt, OwnEndAt;

        /// <summary>Bytes from the root, 1 at least, and the most bytes below.</summary>
        public ushort Depth, Height;

        public byte Label;

        /// <summary>Whether all that is below is plain JSON string content in whole characters.</summary>
        public bool PlainBelow;
    }

    private readonly Node[] _nodes;
    private readonly int[] _order; // tokens by their bytes: those of a subtree are neighbours
    private readonly int _maxDepth;

    /// <param name="tokens">Tokens with their bytes, none empty.</param>
    public TokenTrie(List<(int Token, byte[] Bytes)> tokens)
    {
        List<(int Token, byte[] Bytes)> sorted = [.. tokens];
        sorted.Sort((a, b) => a.Bytes.AsSpan().SequenceCompareTo(b.Bytes) is not 0 and int order ? order : a.Token.CompareTo(b.Token));
        _order = [.. sorted.ConvertAll(t => t.Token)];
        _maxDepth = sorted.Select(t => t.Bytes.Length).DefaultIfEmpty(0).Max();
        List<Node> nodes = [];
        int[] path = new int[_maxDepth + 1]; // by depth, the node of the current token
        byte[] previous = [];
        for (int at = 0; at < sorted.Count; at++)
        {
            byte[] bytes = sorted[at].Bytes;
            int common = previous.AsSpan().CommonPrefixLength(bytes);
            for (int i = common; i < bytes.Length; i++)
            {
                path[i + 1] = nodes.Count;
                nodes.Add(new() { Label = bytes[i], Depth = checked((ushort)(i + 1)), FirstAt = at, OwnEndAt = at, PlainBelow = true });
            }
            Span<Node> made = CollectionsMarshal.AsSpan(nodes);
            made[path[bytes.Length]].OwnEndAt = at + 1;
            bool[] plainFrom = JsonSpelling.PlainFrom(bytes);
            ulong[] groupsFrom = CharacterGroups.From(bytes);
            for (int depth = 1; depth <= bytes.Length; depth++)
                made[path[depth]].Groups |= groupsFrom[depth - 1];
            for (int depth = 1; depth < bytes.Length; depth++)
                made[path[depth]].PlainBelow &= plainFrom[depth];
            previous = bytes;
        }
        _nodes = [.. nodes];
        Close();
    }

    public long Bytes => (_nodes.LongLength * 32) + (_order.LongLength * sizeof(int));

    /// <summary>Fills in what nodes know of what is below. Children come after their parents, so a pass from the end meets every subtree complete.</summary>
    private void Close()
    {
        int[] next = new int[_maxDepth + 2]; // by depth, the next node that is not deeper
        Array.Fill(next, _nodes.Length);
        for (int i = _nodes.Length - 1; i >= 0; i--)
        {
            ref Node node = ref _nodes[i];
            node.End = next[node.Depth];
            for (int depth = node.Depth; depth < next.Length; depth++)
                next[depth] = i;
            for (int child = i + 1; child < node.End; child = _nodes[child].End)
                node.Height = Math.Max(node.Height, (ushort)(_nodes[child].Height + 1));
        }
    }

    /// <summary>Sets the bits of the tokens whose bytes the automaton can read from a configuration on.</summary>
    /// <param name="longerThan">Only those of more bytes; all by default.</param>
    /// <returns>How many there are.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // the first request should not wait for the JIT to tier up
    public int CollectAllowed(ConfigurationCache cache, ReadOnlySpan<byte> classOf, Configuration start, Span<ulong> allowed, int longerThan = 0)
    {
        Node[] nodes = _nodes;
        Level[] levels = new Level[_maxDepth + 1]; // by depth, how text goes on after the bytes up to there
        levels[0].Set(cache.OutlookOf(start), cache);
        int count = 0;
        for (int i = 0; i < nodes.Length;)
        {
            ref readonly Node node = ref nodes[i];
            int depth = node.Depth;
            ref readonly Level before = ref levels[depth - 1];
            if (depth + node.Height <= longerThan || before.Steps[classOf[node.Label]] is not { } step)
            {
                i = node.End;
                continue;
            }
            // Where every character from here on, or all plain text, is taken alike, the whole subtree is allowed.
            bool whole = depth > longerThan && before.Outlook is { } here && (node.Groups & ~here.Flow.Groups) == 0 && TextFlows.FlowsFor(cache, here, node.Height + 1);
            if (!whole && node.End > i + 1)
            {
                if (step.IsWithinCharacter)
                    levels[depth] = new() { Steps = cache.StepsOf(step), Destinations = before.Destinations };
                else
                {
                    Configuration next = cache.Land(before.Destinations, step);
                    whole = node.PlainBelow && next.PlainTextCapacity >= node.Height && depth > longerThan;
                    if (!whole)
                        levels[depth].Set(cache.OutlookOf(next), cache);
                }
            }
            int end = depth <= longerThan ? node.FirstAt : !whole ? node.OwnEndAt : node.End < nodes.Length ? nodes[node.End].FirstAt : _order.Length;
            count += Add(_order.AsSpan(node.FirstAt..end), allowed);
            i = whole ? node.End : i + 1;
        }
        return count;
    }

    private struct Level
    {
        /// <summary>Null within a character.</summary>
        public Outlook? Outlook { get; private set; }

        public Reading?[] Steps;

        public Destinations Destinations;

        /// <summary>Neighbours often go on alike, and writing references is what a walk spends most on.</summary>
        public void Set(Outlook outlook, ConfigurationCache cache)
        {
            if (ReferenceEquals(Outlook, outlook))
                return;
            Outlook = outlook;
            Steps = cache.StepsOf(outlook.Reading);
            Destinations = outlook.Destinations;
        }
    }

    private static int Add(ReadOnlySpan<int> tokens, Span<ulong> allowed)
    {
        foreach (int token in tokens)
            allowed[token >> 6] |= 1UL << token;
        return tokens.Length;
    }

    /// <summary>The longest token that <paramref name="text"/> begins with; -1 when there is none.</summary>
    /// <param name="text">What to spell.</param>
    /// <param name="length">The token's length in bytes.</param>
    /// <param name="mayGoOn">Whether some longer token begins with the whole of the text.</param>
    public int LongestPrefix(ReadOnlySpan<byte> text, out int length, out bool mayGoOn)
    {
        int best = -1, level = 0, i = 0, stop = _nodes.Length;
        length = 0;
        while (level < text.Length && i < stop)
        {
            ref readonly Node node = ref _nodes[i];
            if (node.Label != text[level])
            {
                i = node.End;
                continue;
            }
            level++;
            if (node.OwnEndAt > node.FirstAt)
                (best, length) = (_order[node.FirstAt], level);
            stop = node.End;
            i++;
        }
        mayGoOn = level == text.Length && i < stop;
        return best;
    }
}
