// The radix tree of what is cached, whichever tier holds it. Decode thread only. It knows tokens and order of use; nothing of cells, bytes or files.
// Always: siblings differ in their first token; a child begins where its parent ends; each namespace, and within it each set of adapters, has a root of its own, keyed by SHA-256.

using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace InferenceServer.Engine.Cache;

/// <param name="fromCheckpointsOnly">Requests can go on only from where a node has a checkpoint, not from anywhere within one.</param>
internal sealed class PrefixTree(bool fromCheckpointsOnly)
{
    private readonly Dictionary<string, PrefixNode> _roots = new(StringComparer.Ordinal);

    public IReadOnlyDictionary<string, PrefixNode> Roots => _roots;

    /// <summary>Grows with every use of a node.</summary>
    public long Clock { get; private set; }

    /// <summary>Rows that steps have computed so far.</summary>
    public long ComputedRows { get; private set; }

    public void CountRows(int rows) => ComputedRows += rows;

    /// <summary>What stands for a namespace in memory and in files: neither holds the name, which may be a secret. Its first half is the same for all sets of adapters.</summary>
    /// <param name="adapters">The key of the adapters that its entries are computed with.</param>
    public static string NamespaceKey(string cacheNamespace, string adapters = "")
    {
        Span<byte> key = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes($"InferenceServer cache namespace\0{cacheNamespace}"), key);
        if (adapters.Length > 0)
            SHA256.HashData(Encoding.UTF8.GetBytes($"InferenceServer cache namespace of {adapters}\0{cacheNamespace}")).AsSpan(0, key.Length / 2).CopyTo(key[(key.Length / 2)..]);
        return Convert.ToHexString(key);
    }

    /// <summary>Whether two keys stand for one namespace, with whichever adapters.</summary>
    public static bool AreOfOneNamespace(string key, string other) => key.AsSpan(0, key.Length / 2).SequenceEqual(other.AsSpan(0, other.Length / 2));

    /// <summary>The namespace's root, made where there is none.</summary>
    public PrefixNode Root(string namespaceKey)
    {
        if (!_roots.TryGetValue(namespaceKey, out PrefixNode? root))
            _roots.Add(namespaceKey, root = new PrefixNode(null, default, 0, BinaryPrimitives.ReadUInt64LittleEndian(Convert.FromHexString(namespaceKey).AsSpan(SHA256.HashSizeInBytes - sizeof(ulong)))) { IsResident = true, Namespace = namespaceKey });
        return root;
    }

    public void RemoveIfEmptyRoot(PrefixNode node)
    {
        if (node is { IsRoot: true, Pins: 0, Children.Count: 0 })
            _roots.Remove(node.Namespace!);
    }

    public static PrefixNode RootOf(PrefixNode node)
    {
        while (!node.IsRoot)
            node = node.Parent!;
        return node;
    }

    /// <summary>A new leaf below a node that has no child with the same first token.</summary>
    public static PrefixNode Add(PrefixNode parent, ReadOnlyMemory<int> tokens)
    {
        PrefixNode child = new(parent, tokens, parent.End);
        parent.Children.Add(tokens.Span[0], child);
        return child;
    }

    /// <summary>Cuts a node in two after <paramref name="length"/> tokens and returns the upper part.</summary>
    public static PrefixNode Split(PrefixNode node, int length)
    {
        PrefixNode parent = node.Parent!;
        PrefixNode upper = new(parent, node.Tokens[..length], node.Start)
        {
            IsResident = node.IsResident,
            ResidentChildren = node.IsResident ? 1 : 0,
            Pins = node.Pins,
            LastUse = node.LastUse,
            LastUseRows = node.LastUseRows,
            Saved = node.Saved,
        };
        parent.Children[node.Tokens.Span[0]] = upper;
        node.Parent = upper;
        node.Start += length;
        node.Tokens = node.Tokens[length..];
        upper.Children.Add(node.Tokens.Span[0], node);
        node.Saved?.Nodes.Add(upper);
        return upper;
    }

    /// <summary>A node that holds nothing and that nobody uses leaves the tree.</summary>
    public void Remove(PrefixNode node)
    {
        if (node.IsResident || node.Pins > 0)
            throw new InvalidOperationException("A resident or pinned node cannot leave the tree.");
        node.Parent!.Children.Remove(node.Tokens.Span[0]);
        RemoveIfEmptyRoot(node.Parent);
        node.Parent = null;
    }

    /// <summary>The node was used now. Its ancestors are to be stamped after it, so that they are always more recent than what hangs below them.</summary>
    public void Stamp(PrefixNode node)
    {
        node.LastUse = ++Clock;
        node.LastUseRows = ComputedRows;
    }

    /// <summary>The longest prefix of <paramref name="tokens"/> that any tier holds and that one can go on from. Changes nothing.</summary>
    public PrefixMatch Match(string namespaceKey, ReadOnlySpan<int> tokens)
    {
        if (!_roots.TryGetValue(namespaceKey, out PrefixNode? node))
            return default;
        PrefixMatch match = default;
        int depth = 0, resident = 0, pinned = 0, ready = 0;
        bool isReady = true;
        while (depth < tokens.Length && node.Children.TryGetValue(tokens[depth], out PrefixNode? child))
        {
            if (!child.IsUsable)
                break;
            int common = child.Tokens.Span.CommonPrefixLength(tokens[depth..]);
            depth += common;
            if (child.IsResident)
                resident = depth;
            isReady = isReady && (child.IsResident || child.Saved!.IsReady);
            if (isReady)
                ready = depth;
            if (child.Pins > 0)
                pinned = depth;
            if (!fromCheckpointsOnly)
                match = new PrefixMatch(pinned, resident, ready, depth, depth);
            else if (common == child.Length && child.Checkpoint is { IsUsable: true } checkpoint)
                match = new PrefixMatch(pinned, resident, checkpoint.IsReady ? ready : match.ReadyTokens, depth, depth);
            if (common < child.Length)
                break;
            node = child;
        }
        return match with { TreeTokens = depth };
    }

    /// <summary>The nodes from below this one to the end of the match, the last one split there; where requests go on from checkpoints only, to the last of them.</summary>
    public List<PrefixNode> Path(PrefixNode node, ReadOnlySpan<int> tokens)
    {
        List<PrefixNode> path = [];
        int depth = node.End, usable = 0;
        while (depth < tokens.Length && node.Children.TryGetValue(tokens[depth], out PrefixNode? child))
        {
            if (!child.IsUsable)
                break;
            int common = child.Tokens.Span.CommonPrefixLength(tokens[depth..]);
            if (common < child.Length && fromCheckpointsOnly)
                break;
            if (common < child.Length)
                child = Split(child, common);
            path.Add(child);
            if (!fromCheckpointsOnly || child.Checkpoint is { IsReady: true })
                usable = path.Count;
            depth += common;
            node = child;
        }
        path.RemoveRange(usable, path.Count - usable);
        return path;
    }

    /// <summary>The node below this one that ends with these tokens; null when none ends there.</summary>
    public static PrefixNode? FindEnd(PrefixNode node, ReadOnlySpan<int> tokens)
    {
        while (node.End < tokens.Length && node.Children.TryGetValue(tokens[node.End], out PrefixNode? child) && tokens[node.End..].StartsWith(child.Tokens.Span))
            node = child;
        return node.End == tokens.Length ? node : null;
    }

    /// <summary>The node on the path of these tokens that ends at this position, cut there if need be; null when the tree does not reach it.</summary>
    public static PrefixNode? Descend(PrefixNode node, ReadOnlySpan<int> tokens, int end)
    {
        while (node.End < end)
        {
            if (!node.Children.TryGetValue(tokens[node.End], out PrefixNode? child))
                return null;
            int common = child.Tokens.Span.CommonPrefixLength(tokens[node.End..end]);
            if (common < child.Length)
                child = node.End + common < end ? null : Split(child, common);
            if (child is null)
                return null;
            node = child;
        }
        return node;
    }
}
